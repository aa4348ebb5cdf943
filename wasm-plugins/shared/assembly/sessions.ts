/**
 * A record for each client connection that the plugin has seen. The gateway keeps three numbers
 * with the connection by which the record is found; they name the instance too, for the records
 * end with it and the connections do not.
 */
import { sessionGetAt, sessionSetAt } from '../../sdk/assembly/host'
import { lengthOf, ptrOf, slice } from '../../sdk/assembly/sdk'
import { secret } from './secret'

/** `at`, the key of the session's memory. */
const KEY = slice(memory.data<u8>([0x61, 0x74]), 2)
const KEPT_BYTES: i32 = 16
const kept = memory.data(KEPT_BYTES)

/** What a record begins with. */
export class Tracked {
  slot: i32 = 0
  /** Another number each time that the record is taken by a connection; 0: it is free. */
  serial: u32 = 0
}

let serials: u32 = 0

@final
export class Sessions<T extends Tracked> {
  /** True where `open` has just made the record: its fields are those of an earlier connection. */
  isNew: bool = false
  private records: T[] = []
  private free: i32[] = []

  /** More connections than this at a time are not known. */
  constructor(private readonly sessionsMax: i32) {}

  /** The record of the present connection, or null. */
  find(): T | null {
    this.isNew = false
    const found = sessionGetAt(KEY)
    if (lengthOf(found) != KEPT_BYTES) return null
    const ptr = ptrOf(found)
    if (load<u64>(ptr) != secret()) return null
    const slot = load<i32>(ptr, 8)
    const record = slot < this.records.length ? this.records[slot] : null
    return record != null && record.serial == load<u32>(ptr, 12) ? record : null
  }

  /** The same, made where there is none yet; null outside of a connection, or for one too many. */
  open(): T | null {
    const found = this.find()
    if (found != null) return found
    const record = this.takeFree()
    if (record == null) return null
    record.serial = ++serials == 0 ? ++serials : serials
    store<u64>(kept, secret())
    store<i32>(kept, record.slot, 8)
    store<u32>(kept, record.serial, 12)
    if (!sessionSetAt(KEY, slice(kept, KEPT_BYTES))) {
      this.close(record)
      return null
    }
    this.isNew = true
    return record
  }

  /** The connection is gone: another may have its record. */
  close(record: T): void {
    record.serial = 0
    this.free.push(record.slot)
  }

  /** How many connections have a record. */
  get count(): i32 {
    return this.records.length - this.free.length
  }

  private takeFree(): T | null {
    if (this.free.length > 0) return this.records[this.free.pop()]
    if (this.records.length >= this.sessionsMax) return null
    const record = instantiate<T>()
    record.slot = this.records.length
    this.records.push(record)
    return record
  }
}
