//! What the hot path allocates: nothing but the room that the bytes themselves need.
//! A binary of its own, since it replaces the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use rewamp_wamp::codec::{EventHead, append_published, decode, encode_framed};
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::{PublicationId, RequestId, SubscriptionId};
use rewamp_wamp::message::{EventDetails, Message};
use rewamp_wamp::serializer::{Limits, Serializer, TranscodeError, append_value, read_value};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator cannot be replaced without it; it only counts"
)]
// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATIONS.get();
    let made = work();
    (ALLOCATIONS.get() - before, made)
}

/// As it comes out of a read: a slice of a larger block.
fn frame(text: &str, serializer: Serializer) -> Result<Bytes, TranscodeError> {
    let text = Bytes::copy_from_slice(text.as_bytes());
    let value = read_value(Serializer::Json, &text, &Limits::default())?;
    let mut block = BytesMut::from("block");
    append_value(serializer, &value, &mut block)?;
    let block = block.freeze();
    drop(block.clone());
    Ok(block.slice(5..))
}

#[test]
fn reading_what_clients_send_by_the_million_allocates_nothing() {
    for text in [
        r#"[16,7,{},"com.a",[1,"two",{"three":[]}],{"four":null}]"#,
        r#"[16,7,{"acknowledge":true},"com.a",[1]]"#,
        r#"[16,7,{"acknowledge":true,"exclude_me":false,"exclude":null},"com.a"]"#,
        r#"[48,7,{},"com.a",[1],{"a":2}]"#,
        r#"[70,7,{},[1]]"#,
        r#"[17,7,8]"#,
    ] {
        for serializer in Serializer::ALL {
            let frame = frame(text, serializer).unwrap();
            let (count, message) =
                allocations(|| decode(serializer, &frame, &Limits::default()).unwrap());
            assert_eq!(count, 0, "{serializer} {message:?}");
        }
    }
}

#[test]
fn writing_a_message_of_the_hot_path_allocates_nothing_where_there_is_room() {
    let mut out = BytesMut::with_capacity(1 << 16);
    for wire in Wire::ALL {
        let text = r#"[36,7,8,{"topic":"com.a","publisher":5},[1,"two"],{"a":2}]"#;
        let event = frame(text, wire.serializer).unwrap();
        let event = decode(wire.serializer, &event, &Limits::default()).unwrap();
        let (count, _) = allocations(|| encode_framed(wire, &event, &mut out).unwrap());
        assert_eq!(count, 0, "{event:?}");
        let (count, _) = allocations(|| {
            append_published(wire, RequestId::FIRST, PublicationId::FIRST, &mut out)
        });
        assert_eq!(count, 0);
        let head = EventHead::new(wire, SubscriptionId::FIRST, &EventDetails::default()).unwrap();
        let Message::Event(event) = event else {
            panic!("not an EVENT")
        };
        let (count, _) = allocations(|| {
            head.append(PublicationId::FIRST, &event.payload, &mut out)
                .unwrap()
        });
        assert_eq!(count, 0);
    }
}
