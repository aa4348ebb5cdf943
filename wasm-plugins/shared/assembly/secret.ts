/** Hashes of names that clients choose, with a secret of this instance in them. */
import { lengthOf, ptrOf, random, Slice } from '../../sdk/assembly/sdk'

const PRIME: u64 = 0x100_0000_01b3

const place = memory.data(8)
let isDrawn: bool = false

/** A number that differs from instance to instance and that nobody can foresee. */
export function secret(): u64 {
  if (!isDrawn) {
    random(place, 8)
    isDrawn = true
  }
  return load<u64>(place)
}

/** A key for `run` among those of `kind`; never 0. */
export function keyed(kind: u64, run: Slice): u64 {
  let hash = secret() ^ (kind * 0x9e37_79b9_7f4a_7c15)
  const end = ptrOf(run) + lengthOf(run)
  for (let at = ptrOf(run); at < end; at++) hash = (hash ^ load<u8>(at)) * PRIME
  return mixed(hash)
}

/** Two keys as one; their order matters. Never 0. */
export function joined(one: u64, other: u64): u64 {
  return mixed(((one << 7) | (one >> 57)) ^ (other * 0x9e37_79b9_7f4a_7c15))
}

/** Every bit of the result depends on every bit given. */
function mixed(hash: u64): u64 {
  hash = (hash ^ (hash >> 33)) * 0xff51_afd7_ed55_8ccd
  hash = (hash ^ (hash >> 33)) * 0xc4ce_b9fe_1a85_ec53
  hash ^= hash >> 33
  return hash == 0 ? 1 : hash
}
