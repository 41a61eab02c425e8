//! What the machine is, and the processor time of processes.

use std::time::{Duration, Instant};

use anyhow::Context;

/// A line about the machine.
///
/// # Errors
/// When /proc cannot be read.
pub(super) fn describe() -> anyhow::Result<String> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| path.to_owned());
    let cpu_info = read("/proc/cpuinfo")?;
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism()?;
    let memory = read("/proc/meminfo")?;
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let load = read("/proc/loadavg")?;
    Ok(format!(
        "Machine: {cores} cores, {}, {} GiB, Linux {}, load average before the run {}.",
        model.trim_start_matches([' ', '\t', ':']),
        kib >> 20,
        kernel.trim(),
        load.split_whitespace().next().unwrap_or("?"),
    ))
}

/// A process as the kernel counts it.
struct Stat {
    id: u32,
    parent: u32,
    /// User and system, in hundredths of a second.
    ticks: u64,
}

/// `None` when it is gone.
fn stat(id: u32) -> Option<Stat> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<u64> = rest.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect();
    Some(Stat { id, parent: u32::try_from(*fields.first()?).ok()?, ticks: fields.get(10)? + fields.get(11)? })
}

const fn time(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 10)
}

/// Processor time, user and system, of a process without its children.
#[must_use]
pub(super) fn cpu_of(process: u32) -> Duration {
    time(stat(process).map_or(0, |stat| stat.ticks))
}

/// Processor time, user and system, of a process and all its living descendants. The kernel counts in
/// hundredths of a second.
#[must_use]
pub fn cpu_of_tree(root: u32) -> Duration {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let processes: Vec<Stat> = ids.filter_map(stat).collect();
    let mut members = vec![root];
    let mut ticks = 0;
    while let Some(member) = members.pop() {
        ticks += processes.iter().filter(|it| it.id == member).map(|it| it.ticks).sum::<u64>();
        members.extend(processes.iter().filter(|it| it.parent == member).map(|it| it.id));
    }
    time(ticks)
}

/// Resident memory of a process in MiB.
#[must_use]
pub(super) fn resident_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) >> 10
}

/// How often a second this folder's disk can append 4 KiB and flush it.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn flushes_a_second(folder: &std::path::Path) -> anyhow::Result<f64> {
    use std::io::Write;

    let mut file = std::fs::File::create(folder.join("flush"))?;
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < Duration::from_secs(2) {
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}
