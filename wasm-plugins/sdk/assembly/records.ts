/**
 * Lines in the gateway's log, with fields:
 * `record.begin('statement').field('kind', kind).field('user', user).write(INFO)`.
 */
import { log } from './host'
import { Json } from './json'
import { Slice } from './slice'

/** A line of the log; one object is enough, `begin` empties it. */
@final
export class LogRecord {
  readonly json: Json = new Json()

  begin(message: string): this {
    this.json.clear().object().key('message').text(message)
    return this
  }

  field(key: string, value: Slice): this {
    this.json.key(key).string(value)
    return this
  }

  fieldText(key: string, value: string): this {
    this.json.key(key).text(value)
    return this
  }

  fieldInteger(key: string, value: i64): this {
    this.json.key(key).integer(value)
    return this
  }

  fieldNumber(key: string, value: f64): this {
    this.json.key(key).number(value)
    return this
  }

  fieldFlag(key: string, value: bool): this {
    this.json.key(key).boolean(value)
    return this
  }

  /** The JSON writer behind a key, for lists and objects. */
  fieldJson(key: string): Json {
    return this.json.key(key)
  }

  /** `level` is TRACE, DEBUG, INFO, WARN or ERROR. The host cuts lines at 64 KiB. */
  write(level: i32): void {
    log(level, this.json.endObject().bytes)
  }
}
