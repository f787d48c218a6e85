//! Whether the services node is alive, by its probes.

/// Counts probes: one that fails may be bad luck, several in a row are not.
#[derive(Clone, Debug)]
pub struct Streak {
    fall: u32,
    rise: u32,
    /// The result of the last probes, and the number of them in a row.
    last: (bool, u32),
    alive: Option<bool>,
}

impl Streak {
    /// The number of failed probes in a row after which it is dead, and of passed probes after which it is alive.
    pub fn new(fall: u32, rise: u32) -> Self {
        Self {
            fall,
            rise,
            last: (true, 0),
            alive: None,
        }
    }

    /// A probe passed, or failed. Answers whether it is alive, when that is news.
    pub fn probed(&mut self, passed: bool) -> Option<bool> {
        let before = if self.last.0 == passed { self.last.1 } else { 0 };
        self.last = (passed, before.saturating_add(1));
        let enough = if passed { self.rise } else { self.fall };
        let is_news = self.last.1 >= enough && self.alive != Some(passed);
        is_news.then(|| {
            self.alive = Some(passed);
            passed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_probes_in_a_row_change_the_verdict() {
        let mut streak = Streak::new(3, 2);
        let mut news = |probes: &str| {
            let news = probes.chars().map(|it| streak.probed(it == '+'));
            news.map(|it| it.map_or('.', |alive| if alive { 'a' } else { 'd' }))
                .collect::<String>()
        };
        assert_eq!(news("+-++--"), "...a..");
        assert_eq!(news("+--+---"), "......d");
        assert_eq!(news("-+-+-++"), "......a");
    }

    #[test]
    fn one_that_is_dead_from_the_beginning_is_found_dead() {
        let mut streak = Streak::new(3, 2);
        assert_eq!(
            [false; 4].map(|passed| streak.probed(passed)),
            [None, None, Some(false), None]
        );
    }
}
