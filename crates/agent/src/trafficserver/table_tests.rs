//! Orders become the rules that the plugin needs.

use proptest::prelude::*;

use super::*;

const NOW: u32 = 1_800_000_000;
const MONTH: u32 = 30 * 86_400;

fn place(path: &str) -> Place {
    Place::below("a.test", path)
}

fn table(max: usize) -> RuleTable {
    RuleTable::new(MONTH, max)
}

fn order(table: &mut RuleTable, path: &str, mode: Mode, now: u32) {
    table.order(&[(place(path), mode)], now).expect("few enough");
}

fn rule(table: &RuleTable, path: &str) -> Option<Rule> {
    table.rules().find(|(known, _)| **known == place(path)).map(|(_, rule)| rule)
}

#[test]
fn rule_lives_as_long_as_a_copy_can_and_each_repetition_has_a_time_of_its_own() {
    let mut table = table(9);
    for repeat in 0..3 {
        order(&mut table, "/a/", Mode::Delete, NOW);
        assert_eq!(rule(&table, "/a/"), Some(Rule { mode: Mode::Delete, until: NOW + MONTH + repeat }));
    }
    order(&mut table, "/b/", Mode::Expire, NOW + MONTH + 3);
    assert_eq!(rule(&table, "/a/"), None, "ended");
}

#[test]
fn needless_rule_is_given_a_short_life_and_a_stronger_one_stays() {
    let mut table = table(9);
    order(&mut table, "/a/b/", Mode::Expire, NOW);
    order(&mut table, "/a/c/", Mode::Delete, NOW);
    order(&mut table, "/a/", Mode::Expire, NOW);
    let until = NOW + MONTH;
    assert_eq!(rule(&table, "/a/b/").map(|rule| rule.until), Some(NOW + RETIRED_FOR));
    assert_eq!(rule(&table, "/a/c/"), Some(Rule { mode: Mode::Delete, until }));
}

#[test]
fn rule_that_marks_stale_never_hides_one_that_deletes() {
    let mut table = table(9);
    order(&mut table, "/a/", Mode::Expire, NOW);
    order(&mut table, "/b/", Mode::Expire, NOW);
    order(&mut table, "/a/b/", Mode::Delete, NOW);
    assert_eq!(rule(&table, "/a/").map(|rule| rule.mode), Some(Mode::Delete), "it was learnt first");
    assert_eq!(rule(&table, "/b/").map(|rule| rule.mode), Some(Mode::Expire));
    order(&mut table, "/a/b/", Mode::Expire, NOW);
    assert_eq!(rule(&table, "/a/b/").map(|rule| rule.mode), Some(Mode::Delete), "what was deleted stays so");
    let text = table.text();
    assert!(text.rfind("MISS") < text.find("STALE"), "{text}");
}

#[test]
fn beyond_the_cap_the_nearest_two_become_the_directory_above() {
    let mut table = table(3);
    for path in ["/a/", "/x/y/1/", "/x/y/2/"] {
        order(&mut table, path, Mode::Expire, NOW);
    }
    order(&mut table, "/b/", Mode::Delete, NOW);
    let live: Vec<_> = table.in_use(NOW).map(|(place, rule)| (place.clone(), rule.mode)).collect();
    assert_eq!(live, [(place("/a/"), Mode::Expire), (place("/b/"), Mode::Delete), (place("/x/y/"), Mode::Expire)]);
    let other = [(Place::below("b.test", "/"), Mode::Expire), (Place::below("c.test", "/"), Mode::Expire)];
    let all = [(Place::below("a.test", "/"), Mode::Delete), (Place::below("d.test", "/"), Mode::Expire)];
    table.order(&other, NOW).expect("few enough");
    table.order(&all, NOW).expect("few enough");
    let live: Vec<_> = table.in_use(NOW).map(|(place, rule)| (place.clone(), rule.mode)).collect();
    assert_eq!(live, [(Place::Everything, Mode::Delete)], "a rule for each host, and more hosts than rules");
}

#[test]
fn too_many_changes_wait_and_change_nothing_while_one_large_order_is_widened() {
    let mut table = table(2);
    let far: Vec<_> = (0..20).map(|it| (Place::below(&format!("{it}.test"), "/"), Mode::Expire)).collect();
    table.order(&far, NOW).expect("what is needless at once is never written");
    assert_eq!(table.rules().count(), 1);
    let refused = (0..60).find_map(|it| {
        let before = table.clone();
        let refused = table.order(&[(Place::below(&format!("{it}.other.test"), "/"), Mode::Delete)], NOW).err();
        assert!(refused.is_none() || table == before);
        refused
    });
    assert_eq!(refused, Some(TooMany { lines: 9, allowed: 8 }));
    order(&mut table, "/x/", Mode::Delete, NOW + RETIRED_FOR + 1);
}

#[test]
fn file_of_somebody_else_is_not_taken() {
    for odd in
        ["x", "^http://a/ 1 MISS ", "^http://a/  1 MISS", "^http://a/ 1", "^http://a/ -1 MISS", "^http://.*/ 1 MISS"]
    {
        let text = format!("# a comment\n{odd}\n");
        assert_eq!(table(9).read(&text), Err(TableError { line: 2 }), "{odd}");
    }
}

fn orders() -> impl Strategy<Value = Vec<(String, bool, u32)>> {
    proptest::collection::vec(("(/[ab]{1,2}){0,3}/?", any::<bool>(), 0..90_u32), 0..12)
}

/// The plugin, as it was measured: see the module.
#[derive(Default)]
struct Plugin(Vec<(Place, u32, Rule)>);

impl Plugin {
    fn load(&mut self, text: &str, now: u32) {
        self.0.retain(|(_, _, rule)| rule.until >= now);
        for (place, rule) in text.lines().filter_map(read_line).filter(|(_, rule)| rule.until > now) {
            match self.0.iter_mut().find(|(known, _, _)| *known == place) {
                None => self.0.push((place, now, rule)),
                Some((_, _, known)) if *known == rule => {}
                Some((_, epoch, known)) => (*epoch, *known) = (now, rule),
            }
        }
    }

    /// Started again: it learns the rules in the order of the file, and takes their seconds from its state.
    fn start_again(&mut self, text: &str, now: u32) {
        let before = std::mem::take(&mut self.0);
        self.load(text, now);
        for (place, epoch, rule) in &mut self.0 {
            *epoch = before.iter().find(|it| (&it.0, it.2) == (&*place, *rule)).map_or(*epoch, |it| it.1);
        }
    }

    /// What becomes of a copy of this age.
    fn decides(&self, copy: &Place, date: u32, now: u32) -> Option<Mode> {
        let first =
            self.0.iter().find(|(place, epoch, rule)| *epoch >= date && rule.until >= now && place.covers(copy));
        first.map(|(_, _, rule)| rule.mode)
    }
}

/// `/b` was made to delete, since it overlaps with what is deleted, and retired by what stands for both; in the last
/// second of that it is ordered again. The plugin finds it before the wider rule, so it must delete still.
#[test]
fn rule_that_is_ordered_again_in_its_last_second_is_as_strong_as_it_was() {
    let orders = [
        ("/a/", Mode::Delete, 0),
        ("/b", Mode::Expire, 0),
        ("/aa", Mode::Expire, 0),
        ("/aa/", Mode::Expire, 0),
        ("/b/a", Mode::Delete, 0),
        ("/a", Mode::Expire, 0),
        ("", Mode::Expire, 43),
        ("/a", Mode::Expire, 93),
        ("/b", Mode::Expire, 150),
    ];
    let (mut table, mut plugin) = (table(5), Plugin::default());
    for (path, mode, at) in orders {
        table.order(&[(place(path), mode)], NOW + at).expect("few rules");
        plugin.load(&table.text(), NOW + at);
    }
    assert_eq!(plugin.decides(&place("/b/a"), NOW, NOW + 150), Some(Mode::Delete), "{}", table.text());
}

proptest! {
    #[test]
    fn whatever_is_ordered_the_plugin_uses_no_copy_that_was_purged(orders in orders(), max in 2..6_usize, again in 0..12_usize) {
        let mut table = table(max);
        let mut plugin = Plugin::default();
        let mut now = NOW;
        let mut taken: Vec<(Place, Mode, u32)> = Vec::new();
        for (at, (path, deletes, later)) in orders.into_iter().enumerate() {
            let order = (place(&path), if deletes { Mode::Delete } else { Mode::Expire });
            now += later;
            if table.order(std::slice::from_ref(&order), now).is_ok() {
                plugin.load(&table.text(), now);
                taken.push((order.0, order.1, now));
            }
            if at == again {
                plugin.start_again(&table.text(), now);
            }
            prop_assert!(table.in_use(now).count() <= max);
            for (place, mode, second) in &taken {
                let decided = plugin.decides(place, *second, now);
                let enough = decided.is_some_and(|it| strength(it) >= strength(*mode));
                prop_assert!(enough, "{:?} of {}: {:?}\n{}", place, second, decided, table.text());
            }
        }
        let read = RuleTable::new(MONTH, max).read(&table.text());
        prop_assert_eq!(read, Ok(table.clone()));
        let longest = table.text().lines().map(str::len).max();
        prop_assert!(longest < Some(crate::trafficserver::LINE_BYTES_MAX));
    }
}
