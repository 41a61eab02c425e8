//! The management client against what a port may say. That it understands Varnish is shown with the real one.

use tokio::net::TcpListener;

use super::*;

/// A port that says these bytes at once, whatever it is asked.
async fn port(says: &'static str) -> Management {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(says.as_bytes()).await.expect("written");
        // Until the client has gone: what it sends must not reset the connection before it has read.
        let mut sink = Vec::new();
        let _ended = stream.read_to_end(&mut sink).await;
    });
    Management::new(NodeAddress::from(address), b"secret\n")
}

#[tokio::test]
async fn lines_of_the_list_are_counted() {
    let two = port("200 3       \nhi!\n200 25      \nPresent bans:\n1 2 -\n3 C\n\n").await;
    // The third line feed belongs to the text: its length says so.
    assert_eq!(two.bans().await.expect("a list"), Length::Exactly(3));
    let cut = port("200 3       \nhi!\n201 20      \nPresent bans:\n1 2 -\n\n").await;
    assert_eq!(cut.bans().await.expect("a list"), Length::AtLeast(1));
}

#[tokio::test]
async fn port_that_says_anything_else_is_an_error() {
    for says in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "500 0       \n\n",
        "107 4       \nshrt\n",
        "200 99999999\n",
        "200 3       \nhi!\n200 99999999\n",
        "200 3       \nhi!\n101 3       \nwat\n",
        "-1  -1      \n",
    ] {
        assert!(port(says).await.bans().await.is_err(), "{says:?}");
    }
    let challenge = "107 33      \nabcdefghijklmnopqrstuvwxyzabcdef\n\n107 2       \nno\n";
    assert!(matches!(port(challenge).await.bans().await, Err(LookError::Secret)));
}

#[tokio::test(start_paused = true)]
async fn silent_port_costs_a_bounded_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let management = Management::new(NodeAddress::from(listener.local_addr().expect("bound")), b"");
    assert!(matches!(management.bans().await, Err(LookError::Timeout)));
}

#[test]
fn challenge_is_answered_as_the_manual_says() {
    // varnish-cli(7) has this example.
    let management = Management::new(NodeAddress::parse("127.0.0.1:1").expect("an address"), b"foo\n");
    let answer = management.answer(b"ixslvvxrgkjptxmcgnnsdxsvdmvfympg");
    assert_eq!(answer, "455ce847f0073c7ab3b1465f74507b75d3dc064c1e7de3b71e00de9092fdc89a");
}
