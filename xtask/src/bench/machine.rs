//! What the machine is, and the processor time of processes.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// The processor core of a cache that is told, and that of whoever tells it. Each has its own, as on two
/// machines: what one spends must not slow the other down, or the rates would only compare sums of both.
pub(super) const OF_THE_CACHE: &str = "1";
pub(super) const OF_WHO_TELLS: &str = "0";
/// All cores, as many as there may ever be.
pub(super) const ALL: &str = "0-1023";

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

/// Keeps a process, its living descendants and all that they start from now on on these cores.
///
/// # Errors
/// When there is no such core.
pub(super) fn pin(process: u32, cores: &str) -> anyhow::Result<()> {
    for Stat { id, .. } in tree(process) {
        let args = ["-a", "-c", "-p", cores, &id.to_string()];
        let pinned = Command::new("taskset").args(args).output().context("taskset (util-linux) cannot be started")?;
        if !pinned.status.success() {
            bail!("taskset: {}", String::from_utf8_lossy(&pinned.stderr));
        }
    }
    Ok(())
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
    time(tree(root).iter().map(|it| it.ticks).sum())
}

/// A process and all its living descendants.
fn tree(root: u32) -> Vec<Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut others: Vec<Stat> = ids.filter_map(stat).collect();
    let mut members = Vec::new();
    let mut next = vec![root];
    while let Some(member) = next.pop() {
        next.extend(others.iter().filter(|it| it.parent == member).map(|it| it.id));
        members.extend(others.extract_if(.., |it| it.id == member));
    }
    members
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
