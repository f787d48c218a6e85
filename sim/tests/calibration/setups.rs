//! The settings of HAProxy and keepalived in the lab.

use tandem_sim::plan::{Proxy, Span};
use tandem_sim::socket::CheckKind;

/// A setting of the proxies, by the name that the table gives it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Setup {
    /// As older installations have it: a check of the connection every 2 s, and nothing else.
    H1,
    /// H1 with `option redispatch`.
    H2,
    /// `inter 200 fastinter 100 downinter 500 fall 2 rise 2 on-marked-down shutdown-sessions`.
    H3,
    /// H3 with `check-ssl`.
    H4,
    /// H3 without `on-marked-down`.
    H5,
    /// H3 with `timeout server 2s`.
    H6,
    /// `inter 2000 on-marked-down shutdown-sessions`.
    Slow,
    /// `inter 200 fastinter 100 fall 2 rise 2 on-marked-down shutdown-sessions`, `timeout check 300ms`.
    Connect,
    /// The same with an OVSDB echo.
    Echo,
    /// The same without `on-marked-down`.
    EchoKeeps,
    /// Two of H3 and a virtual IP: `advert_int 0.1`, `interval 1 fall 2`.
    Pair,
    /// The same with `advert_int 1`.
    SlowPair,
    /// The same with `advert_int 1` and `interval 2`.
    SlowestPair,
}

impl Setup {
    pub(crate) fn proxies(self) -> usize {
        match self {
            Self::Pair | Self::SlowPair | Self::SlowestPair => 2,
            Self::H1
            | Self::H2
            | Self::H3
            | Self::H4
            | Self::H5
            | Self::H6
            | Self::Slow
            | Self::Connect
            | Self::Echo
            | Self::EchoKeeps => 1,
        }
    }

    pub(crate) fn proxy(self) -> Proxy {
        match self {
            Self::Slow | Self::Connect | Self::Echo | Self::EchoKeeps => self.alone(),
            Self::Pair | Self::SlowPair | Self::SlowestPair => self.pair(),
            Self::H1 => Proxy {
                redispatch: false,
                ..Self::H2.proxy()
            },
            Self::H2 => Proxy {
                shutdown_sessions: false,
                ..Self::Slow.proxy()
            },
            Self::H3 => Proxy {
                timeout_check: Span::millis(200),
                downinter: Span::millis(500),
                ..Self::Connect.proxy()
            },
            Self::H4 => Proxy {
                check: CheckKind::Tls,
                ..Self::H3.proxy()
            },
            Self::H5 => Proxy {
                shutdown_sessions: false,
                ..Self::H3.proxy()
            },
            Self::H6 => Proxy {
                timeout_server: Span::seconds(2),
                ..Self::H3.proxy()
            },
        }
    }

    /// One proxy, as `net/tests` sets it.
    fn alone(self) -> Proxy {
        match self {
            // The defaults of HAProxy: `fall 3 rise 2`, and every interval and the time-out is `inter`.
            Self::Slow => Proxy {
                inter: Span::seconds(2),
                fastinter: Span::seconds(2),
                downinter: Span::seconds(2),
                timeout_check: Span::ZERO,
                fall: 3,
                ..Self::Connect.proxy()
            },
            Self::Connect => Proxy {
                check: CheckKind::Connect,
                ..Self::Echo.proxy()
            },
            Self::EchoKeeps => Proxy {
                shutdown_sessions: false,
                ..Self::Echo.proxy()
            },
            _ => Proxy {
                downinter: Span::millis(200),
                timeout_client: Span::seconds(3600),
                timeout_server: Span::seconds(3600),
                agent_check: false,
                ..Proxy::default()
            },
        }
    }

    /// Two proxies that share a virtual IP.
    fn pair(self) -> Proxy {
        match self {
            Self::SlowPair => Proxy {
                advert: Span::seconds(1),
                ..Self::Pair.proxy()
            },
            Self::SlowestPair => Proxy {
                track: Span::seconds(2),
                ..Self::SlowPair.proxy()
            },
            _ => Proxy {
                advert: Span::millis(100),
                track: Span::seconds(1),
                ..Self::H3.proxy()
            },
        }
    }
}
