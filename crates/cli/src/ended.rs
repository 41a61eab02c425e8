//! How a command ends other than well, and the exit status that says so.

use std::process::ExitCode;

use catharsis_tcapi::envelope::ApiError;
use serde::Serialize;

/// Why a command did not do all that it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Some item failed at some node; one line each. Status 1.
    #[error("{}", .0.join("\n"))]
    Failed(Vec<String>),
    /// The command line, a file or the profile is wrong; nothing was sent. Status 2.
    #[error("{0}")]
    Usage(String),
    /// The API refused a call. Status 3.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// There was no answer of the API. Status 4.
    #[error("{0}")]
    Network(String),
    /// Not everything was done within the time given; the service goes on with it. Status 5.
    #[error("{0}")]
    TimedOut(String),
    /// The result could not be written to standard output. Status 6.
    #[error("{0}")]
    Output(String),
    /// A file is no statement that the key signed. Status 7.
    #[error("{0}")]
    NotVerified(String),
}

/// A refusal, as the service told it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The code.
    pub code: String,
    /// The text.
    pub message: String,
    /// The name of the answer, where it has one.
    pub request_id: Option<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        match &self.request_id {
            Some(id) => write!(f, " (RequestId {id})"),
            None => Ok(()),
        }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { code: error.code, message: error.message, request_id: Some(error.request_id) }
    }
}

/// The same for machines: the API's error object. What is not the API's has a code that begins with
/// `ClientError`, as in the official SDKs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Complaint {
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
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
            Self::Output(_) => 6,
            Self::NotVerified(_) => 7,
        }
    }

    /// The text for people, line by line; a line of the service's may still need to be made visible.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Failed(lines) => lines.clone(),
            Self::Usage(_)
            | Self::Refused(_)
            | Self::Network(_)
            | Self::TimedOut(_)
            | Self::Output(_)
            | Self::NotVerified(_) => {
                vec![self.to_string()]
            }
        }
    }

    /// The text for machines.
    pub(crate) fn complaint(&self) -> Complaint {
        let own =
            |kind: &str| Complaint { code: format!("ClientError.{kind}"), message: self.to_string(), request_id: None };
        match self {
            Self::Failed(_) => own("Failed"),
            Self::Usage(_) => own("Usage"),
            Self::Refused(it) => {
                Complaint { code: it.code.clone(), message: it.message.clone(), request_id: it.request_id.clone() }
            }
            Self::Network(_) => own("NetworkError"),
            Self::TimedOut(_) => own("TimedOut"),
            Self::Output(_) => own("Output"),
            Self::NotVerified(_) => own("NotVerified"),
        }
    }
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        Self::from(ended.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_for_machines_is_an_object_with_the_code_of_the_api() {
        let refusal =
            Refusal { code: "AuthFailure".to_owned(), message: "no".to_owned(), request_id: Some("r".into()) };
        let shown = |ended: Ended| serde_json::to_string(&ended.complaint()).expect("it is plain");
        let api = r#"{"Code":"AuthFailure","Message":"no","RequestId":"r"}"#;
        assert_eq!(shown(Ended::Refused(refusal)), api);
        let own = r#"{"Code":"ClientError.Failed","Message":"a\nb"}"#;
        assert_eq!(shown(Ended::Failed(vec!["a".to_owned(), "b".to_owned()])), own);
    }
}
