/**
 * Writes JSON into bytes, value by value: commas come by themselves. What clients send may go into
 * it as it is: quotes are escaped, and what is no UTF-8 is told by U+FFFD.
 */
import { Bytes } from './bytes'
import { lengthOf, NONE, ptrOf, Slice } from './slice'

@final
export class Json {
  readonly bytes: Bytes = new Bytes()
  /** True where a comma belongs before what comes next. */
  private follows: bool = false

  clear(): this {
    this.bytes.clear()
    this.follows = false
    return this
  }

  get slice(): Slice {
    return this.bytes.slice
  }

  /** Begins an object, ended by `endObject`. */
  object(): this {
    return this.open(0x7b)
  }

  endObject(): this {
    return this.close(0x7d)
  }

  array(): this {
    return this.open(0x5b)
  }

  endArray(): this {
    return this.close(0x5d)
  }

  /** The key of the next value in an object. */
  key(name: string): this {
    this.text(name)
    this.bytes.byte(0x3a)
    this.follows = false
    return this
  }

  keyAt(name: Slice): this {
    this.string(name)
    this.bytes.byte(0x3a)
    this.follows = false
    return this
  }

  /** Bytes as a string; NONE is null. */
  string(run: Slice): this {
    if (run == NONE) return this.literal('null')
    this.comma().byte(0x22).json(ptrOf(run), lengthOf(run)).byte(0x22)
    return this
  }

  /** A text as a string. */
  text(value: string): this {
    this.comma().byte(0x22)
    for (let at = 0; at < value.length; ) {
      const point = <u32>value.codePointAt(at)
      at += point > 0xffff ? 2 : 1
      this.character(point)
    }
    this.bytes.byte(0x22)
    return this
  }

  private character(point: u32): void {
    const bytes = this.bytes
    if (point == 0x22 || point == 0x5c) bytes.byte(0x5c).byte(<u8>point)
    else if (point < 0x20) {
      bytes.byte(0x5c).byte(0x75).byte(0x30).byte(0x30).byte(0x30 + <u8>(point >> 4))
      const digit = <u8>(point & 15)
      bytes.byte(digit < 10 ? 0x30 + digit : 0x57 + digit)
    } else bytes.codePoint(point >= 0xd800 && point <= 0xdfff ? 0xfffd : point)
  }

  integer(value: i64): this {
    this.comma().number(value)
    return this
  }

  /** A number that may have a fraction; what is no number is null. It allocates a short text. */
  number(value: f64): this {
    if (!isFinite(value)) return this.literal('null')
    const whole = <i64>value
    if (<f64>whole == value) return this.integer(whole)
    return this.literal(value.toString())
  }

  boolean(value: bool): this {
    return this.literal(value ? 'true' : 'false')
  }

  /** JSON that is written already. */
  raw(json: Slice): this {
    this.comma().add(json)
    return this
  }

  literal(json: string): this {
    this.comma().text(json)
    return this
  }

  private comma(): Bytes {
    if (this.follows) this.bytes.byte(0x2c)
    this.follows = true
    return this.bytes
  }

  private open(bracket: u8): this {
    this.comma().byte(bracket)
    this.follows = false
    return this
  }

  private close(bracket: u8): this {
    this.bytes.byte(bracket)
    this.follows = true
    return this
  }
}
