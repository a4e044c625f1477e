//! Tests of what gathers the frames of a link.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};

use super::{FULL, corked};

#[tokio::test]
async fn frames_that_are_flushed_one_by_one_leave_together() {
    let (near, mut far) = duplex(1 << 20);
    let (mut stream, mut cork) = corked(near);
    poll_fn(|cx| cork.poll(cx, |_| Poll::Ready(()))).await.unwrap();
    stream.write_all(b"one").await.unwrap();
    stream.flush().await.unwrap();
    stream.write_all(b"two").await.unwrap();
    stream.flush().await.unwrap();
    let mut early = [0; 8];
    let nothing = poll_fn(|cx| {
        let mut buf = tokio::io::ReadBuf::new(&mut early);
        Poll::Ready(tokio::io::AsyncRead::poll_read(Pin::new(&mut far), cx, &mut buf).is_pending())
    });
    assert!(nothing.await);
    poll_fn(|cx| cork.poll(cx, |_| Poll::Ready(()))).await.unwrap();
    let mut both = [0; 6];
    assert_eq!(far.read(&mut both).await.unwrap(), 6);
    assert_eq!(&both, b"onetwo");
}

#[tokio::test]
async fn who_does_not_read_holds_back_the_writer() {
    let (near, _far) = duplex(1024);
    let (mut stream, _cork) = corked(near);
    let frame = [7; 16 << 10];
    let mut taken = 0;
    let held_back = poll_fn(|cx| {
        while let Poll::Ready(Ok(written)) = Pin::new(&mut stream).poll_write(cx, &frame) {
            taken += written;
            assert!(taken <= FULL + frame.len() + 1024);
        }
        Poll::Ready(true)
    });
    assert!(held_back.await);
}

#[tokio::test]
async fn what_was_gathered_leaves_before_the_end() {
    let (near, mut far) = duplex(1024);
    let (mut stream, _cork) = corked(near);
    stream.write_all(b"goodbye").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut all = Vec::new();
    far.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"goodbye");
}

#[tokio::test]
async fn a_broken_stream_ends_the_connection() {
    let (near, far) = duplex(1024);
    let (mut stream, mut cork) = corked(near);
    stream.write_all(b"lost").await.unwrap();
    drop(far);
    poll_fn(|cx| cork.poll(cx, |_| Poll::<()>::Pending)).await.unwrap_err();
}
