//! A panic as a finding: its message and place, instead of the end of the process.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// A panic that was caught.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Panic {
    /// File, line and column.
    pub place: String,
    /// Its message.
    pub text: String,
}

thread_local! {
    static CAUGHT: RefCell<Option<Slot>> = const { RefCell::new(None) };
}

/// Filled by the hook, while something is being caught.
type Slot = Option<Panic>;

/// Does this; a panic in it is not printed. What it has changed by then is as the panic left it.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(hook);
    CAUGHT.set(Some(None));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    let caught = CAUGHT.take().flatten();
    done.map_err(|_| {
        caught.unwrap_or_else(|| Panic {
            place: "an unknown place".into(),
            text: "no message".into(),
        })
    })
}

fn hook() {
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let is_ours = CAUGHT.with_borrow_mut(|slot| {
            let Some(slot) = slot else { return false };
            let place = info.location().map_or_else(String::new, ToString::to_string);
            let text = info.payload_as_str().unwrap_or("no text").to_owned();
            *slot = Some(Panic { place, text });
            true
        });
        if !is_ours {
            others(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_shown_with_its_place() {
        let panic = catch(|| panic!("no {}", "way")).expect_err("it panics");
        assert_eq!(panic.text, "no way");
        assert!(panic.place.contains("panics.rs:"), "{}", panic.place);
        assert_eq!(catch(|| 5), Ok(5));
    }
}
