//! A planted fault: what stands where an edge's control listener should, says `applied` to everything, and
//! tells the edge nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use catharsis_core::invalidation::Seq;
use catharsis_edge::control::{Control, Orders, Refused};
use catharsis_edge::protocol::{
    DomainTable, DomainsResponse, InvalidationsRequest, InvalidationsResponse, StatusResponse, WireOutcome, WireSeq,
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The listener. Ends when dropped.
#[derive(Debug)]
pub(super) struct Deaf {
    pub(super) address: SocketAddr,
    _stop: DropGuard,
}

impl Deaf {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let stop = CancellationToken::new();
        tokio::spawn(Arc::new(Control::new(SaysApplied, None)).serve(listener, stop.clone()));
        Self { address, _stop: stop.drop_guard() }
    }
}

#[derive(Debug)]
struct SaysApplied;

#[async_trait]
impl Orders for SaysApplied {
    async fn carry_out(&self, order: InvalidationsRequest) -> Result<InvalidationsResponse, Refused> {
        let position = WireSeq::try_from(order.upto()).expect("it came over the wire");
        Ok(InvalidationsResponse { position, outcomes: vec![WireOutcome::Applied; order.invalidations().len()] })
    }

    async fn serve_domains(&self, table: DomainTable) -> Result<DomainsResponse, Refused> {
        Ok(DomainsResponse { generation: table.generation() })
    }

    async fn status(&self) -> Result<StatusResponse, Refused> {
        let position = WireSeq::try_from(Seq::ZERO).expect("zero fits");
        Ok(StatusResponse { log: None, position, entries: 0, bytes: 0, marks: 0, domains: None })
    }
}
