/**
 * Reads bytes from the front: numbers (big-endian, as PostgreSQL's protocol has them), C strings
 * and runs. Beyond the end it gives zeros and NONE and notes it: read everything, then look at
 * `isSound` once.
 */
import { NONE, Slice, slice } from './slice'

@final
export class Reader {
  /** Where the next read begins. */
  at: usize = 0
  end: usize = 0
  /** False once something was wanted that was not there. */
  isSound: bool = true

  open(ptr: usize, length: i32): this {
    this.at = ptr
    this.end = ptr + max(length, 0)
    this.isSound = true
    return this
  }

  /** How many bytes are left. */
  get left(): i32 {
    return <i32>(this.end - this.at)
  }

  byte(): u8 {
    if (this.left < 1) return <u8>this.fail()
    return load<u8>(this.at++)
  }

  /** A number of two bytes, unsigned. */
  uint16(): i32 {
    if (this.left < 2) return this.fail()
    const value = bswap<u16>(load<u16>(this.at))
    this.at += 2
    return value
  }

  int16(): i32 {
    return <i16>this.uint16()
  }

  int32(): i32 {
    if (this.left < 4) return this.fail()
    const value = bswap<u32>(load<u32>(this.at))
    this.at += 4
    return value
  }

  /** `length` bytes, not copied. */
  run(length: i32): Slice {
    if (length < 0 || length > this.left) {
      this.fail()
      return NONE
    }
    const from = this.at
    this.at += length
    return slice(from, length)
  }

  /** Everything that is left, not copied. */
  rest(): Slice {
    return this.run(this.left)
  }

  /** The bytes before the next zero byte, which is passed. */
  cString(): Slice {
    const from = this.at
    let at = from
    const end = this.end
    while (at < end && load<u8>(at) != 0) at++
    if (at >= end) {
      this.fail()
      return NONE
    }
    this.at = at + 1
    return slice(from, <i32>(at - from))
  }

  private fail(): i32 {
    this.isSound = false
    this.at = this.end
    return 0
  }
}
