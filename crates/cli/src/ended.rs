//! How a command ends other than well, and the exit status that says so.

use std::process::ExitCode;

use catharsis_tcapi::envelope::ApiError;

/// Why a command did not do all that it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Some item failed at some node. Status 1.
    #[error("{0}")]
    Failed(String),
    /// The command line, a file or the profile is wrong; nothing was sent. Status 2.
    #[error("{0}")]
    Usage(String),
    /// The API refused a call. Status 3.
    #[error("refused: {0}")]
    Refused(ApiError),
    /// There was no answer of the API. Status 4.
    #[error("{0}")]
    Network(String),
    /// Not everything was done within the time given; the service goes on with it. Status 5.
    #[error("{0}")]
    TimedOut(String),
}

impl Ended {
    /// The exit status.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Network(_) => 4,
            Self::TimedOut(_) => 5,
        }
    }
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        Self::from(ended.status())
    }
}
