/**
 * When each database was written, on a clock that counts events instead of seconds. A result is as
 * old as the moment its query was sent; a write of one of its tables behind that makes it stale.
 */
import { counts } from './counts'

/** Stands for all tables; else a write, or a result, has a bit for each of its tables. */
export const ALL: u64 = u64.MAX_VALUE
const BITS = 64

/** Names share one of these: then a write of the one empties the other too. */
const DATABASES_MAX = 256

@final
export class Database {
  /** How many writes of all tables, or of the tables of a bit, are on their way to a commit. */
  private committing: i32 = 0
  private readonly committingOf: StaticArray<i32> = new StaticArray<i32>(BITS)
  /** When the last of them began a commit, or ended it. */
  private last: u64 = 0
  private readonly lastOf: StaticArray<u64> = new StaticArray<u64>(BITS)
  /** When the last write began, in a transaction or not. */
  private begun: u64 = 0
  private readonly begunOf: StaticArray<u64> = new StaticArray<u64>(BITS)
  /** True where a write named its tables. */
  private isByTable: bool = false

  /** A write is being sent. */
  writes(tables: u64): void {
    const now = tick()
    if (tables == ALL) {
      this.begun = now
      return
    }
    this.isByTable = true
    for (let rest = tables; rest != 0; rest &= rest - 1) this.begunOf[<i32>ctz(rest)] = now
  }

  /** What was written may be seen by others from now on, and must be once it is acknowledged. */
  beginCommit(tables: u64): void {
    if (tables == ALL) this.committing++
    else for (let rest = tables; rest != 0; rest &= rest - 1) this.committingOf[<i32>ctz(rest)]++
    this.empty(tables)
  }

  endCommit(tables: u64): void {
    if (tables == ALL) this.committing--
    else for (let rest = tables; rest != 0; rest &= rest - 1) this.committingOf[<i32>ctz(rest)]--
  }

  /** Whatever was read of these tables so far is stale. */
  empty(tables: u64): void {
    const now = tick()
    counts.invalidations++
    if (tables == ALL) {
      this.last = now
      this.begun = now
      return
    }
    this.isByTable = true
    for (let rest = tables; rest != 0; rest &= rest - 1) {
      this.lastOf[<i32>ctz(rest)] = now
      this.begunOf[<i32>ctz(rest)] = now
    }
  }

  /** True where a result of that moment may be told now. */
  isFresh(at: u64, tables: u64): bool {
    if (this.committing > 0 || this.last > at || everywhere > at) return false
    if (!this.isByTable) return true
    for (let rest = tables; rest != 0; rest &= rest - 1) {
      const bit = <i32>ctz(rest)
      if (this.committingOf[bit] > 0 || this.lastOf[bit] > at) return false
    }
    return true
  }

  /** True where no write has begun since that moment, and none is on its way to a commit. */
  isUntouched(at: u64, tables: u64): bool {
    if (!this.isFresh(at, tables) || this.begun > at) return false
    if (!this.isByTable) return true
    for (let rest = tables; rest != 0; rest &= rest - 1) {
      if (this.begunOf[<i32>ctz(rest)] > at) return false
    }
    return true
  }
}

let clock: u64 = 0
/** When all databases were emptied. */
let everywhere: u64 = 0

function tick(): u64 {
  return ++clock
}

/** When what goes beyond one database was last changed: sessions from before it differ. */
export function era(): u64 {
  return everywhere
}

/** Forgets what is under way everywhere: nobody is known who could end it. */
export function abandonDatabases(): void {
  for (let at = 0; at < DATABASES_MAX; at++) databases[at] = null
  emptyAll()
}

/** This moment. */
export function moment(): u64 {
  return clock
}

/** Whatever was read so far is stale. */
export function emptyAll(): void {
  everywhere = tick()
  counts.invalidations++
}

const databases = new StaticArray<Database | null>(DATABASES_MAX)

/** The database of a name, by the name's hash. */
export function databaseOf(hash: u64): Database {
  const at = <i32>(hash % DATABASES_MAX)
  const known = databases[at]
  if (known != null) return known
  const made = new Database()
  databases[at] = made
  return made
}
