//! A publisher that sends more than it may.

use super::*;

const SIZE: usize = 1_000;

/// Video of one Mbit/s for each of `times`, for `seconds`, to a receiver that takes one.
fn send(world: &mut World, times: u64, seconds: u64) -> u64 {
    let packets = times * seconds * 125;
    for number in 0..packets {
        let payload = [&[0x10, 1, number as u8][..], &[0; SIZE]].concat();
        let packet = world.rtp(VIDEO_TYPE, 2000, 1_000 + number, None, &payload);
        world.arrive(&packet);
        world.wait(Duration::from_micros(8_500 / times));
        if world.too_fast {
            return number;
        }
    }
    packets
}

fn limited() -> World {
    World::new(Receiver::new(&receiving(None), "cname").limited_to(1))
}

#[test]
fn what_is_beyond_the_allowance_does_not_pass_and_the_end_follows() {
    let mut world = limited();
    let sent = send(&mut world, 10, 30);
    assert!(world.too_fast && sent < 10 * 125 * 5, "{sent} packets");
    let passed = world.packets.iter().map(|(_, packet)| packet.payload.len()).sum::<usize>();
    assert!((450_000..=600_000).contains(&passed), "1 s at once and 3 to 4 s of 125 kB: {passed}");
}

#[test]
fn who_is_cut_hears_of_it_as_loss() {
    let mut world = limited();
    let start = world.now;
    send(&mut world, 3, 3);
    assert!(!world.too_fast);
    world.wait(ms(1_000));
    assert!(world.receiver.figures().loss.is_some_and(|loss| loss > 0.4), "{:?}", world.receiver.figures());
    assert!(!world.nacks(start).is_empty());
}

#[test]
fn within_the_allowance_nothing_is_lost_and_another_node_has_none() {
    let mut world = limited();
    assert_eq!(send(&mut world, 1, 20), 20 * 125);
    assert_eq!((world.packets.len(), world.too_fast), (20 * 125, false));
    let mut world = publisher();
    assert_eq!(send(&mut world, 10, 10), 12_500);
    assert_eq!((world.packets.len(), world.too_fast), (12_500, false));
}

#[test]
fn what_does_not_authenticate_costs_the_publisher_nothing() {
    let mut world = limited();
    let packet = world.video(7);
    for number in 0..2_000_u64 {
        let spoilt = [&packet[..], &[number as u8; SIZE]].concat();
        world.arrive(&spoilt);
    }
    world.arrive(&packet);
    assert_eq!((world.numbers(VIDEO), world.too_fast), (vec![7], false));
}
