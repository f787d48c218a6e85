//! A reason that repeats is logged once: the peer dials again every two seconds.

/// The reason that was logged last.
#[derive(Debug, Default)]
pub(super) struct News {
    last: Option<String>,
}

impl News {
    /// Whether this reason differs from the last one.
    pub(super) fn is_news(&mut self, why: &str) -> bool {
        let is_news = self.last.as_deref() != Some(why);
        self.last = Some(why.to_owned());
        is_news
    }

    /// The link worked: whatever comes next is news.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_news_once_until_it_changes_or_the_link_works() {
        let mut news = News::default();
        let answers = ["old", "old", "new", "old"].map(|why| news.is_news(why));
        assert_eq!(answers, [true, false, true, true]);
        assert!(!news.is_news("old"));
        news.forget();
        assert!(news.is_news("old"));
    }
}
