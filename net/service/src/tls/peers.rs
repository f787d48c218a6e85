//! Whose connections a port accepts.

/// The clients of a port. It decides which section of the configuration names their CAs, and what a refusal advises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peers {
    /// Switches that the file of this agent configures, and whose certificates it can pin.
    Switches,
    /// Switches of an agent that control nodes lead. Their pins are compared after the handshake, and replace no CA.
    LedSwitches,
    /// The clients of a control node.
    Clients,
    /// The other agent of the pair.
    Pair,
}

impl Peers {
    /// The section that names their CAs.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Switches | Self::LedSwitches | Self::Clients => "tls",
            Self::Pair => "peer",
        }
    }

    /// What else makes a certificate acceptable, as the end of a sentence about one that no CA vouches for.
    pub(super) fn or_pin(self) -> &'static str {
        match self {
            Self::Switches => ", or pin this one",
            Self::LedSwitches | Self::Clients | Self::Pair => "",
        }
    }

    /// Where the file of their CAs comes from.
    pub(super) fn origin_of_ca(self) -> &'static str {
        match self {
            Self::Switches | Self::LedSwitches => " (ovs-pki: the agent's tls.ca is switchca/cacert.pem)",
            Self::Clients => " (that of a control node is the CA of the agents)",
            Self::Pair => "",
        }
    }

    /// Whether the process also dials them with the same certificate.
    pub(super) fn are_dialled(self) -> bool {
        self == Self::Pair
    }
}

/// What the own certificate is presented for; its extended key usage has to allow it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uses {
    pub(super) serves: bool,
    pub(super) dials: bool,
}

impl Uses {
    pub(super) const DIALS: Self = Self {
        serves: false,
        dials: true,
    };

    /// To clients of this kind.
    pub(super) fn of(peers: Peers) -> Self {
        Self {
            serves: true,
            dials: peers.are_dialled(),
        }
    }
}
