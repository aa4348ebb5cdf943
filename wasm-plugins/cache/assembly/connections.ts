/**
 * What is known of each client connection: which key its settings give, what its transaction has
 * done, and what the server still owes it. A connection that was there before this instance is
 * known by nothing: it is never answered from memory, and whatever it does may be a write.
 */
import { sessionGetAt, sessionSetAt } from '../../sdk/assembly/host'
import { lengthOf, ptrOf, Slice, slice } from '../../sdk/assembly/slice'
import { connectionFact } from '../../sdk/assembly/store'
import { ALL, Database, databaseOf, emptyAll, era } from './databases'
import {
  beginChain, chain, hash, high, instance, low, secretHigh, secretLow,
} from './hash'
import { addPrepared, dropPrepared, findPrepared, Prepared } from './prepared'
import { Recording } from './recordings'

export const IDLE: u8 = 0x49
export const IN_TRANSACTION: u8 = 0x54

/** What the first reply that comes is for. */
export const enum Head {
  Nothing,
  /** It is to be kept. */
  Recording,
  /** It tells whether settings have changed. */
  Settings,
}

const CONNECTIONS_MAX: i32 = 65_536

@final
export class Connection {
  next: Connection | null = null
  database: Database = NOWHERE
  /** The key of what its login said; then, once placed, of that and of where it went. */
  baseLow: u64 = 0
  baseHigh: u64 = 0
  /** The key that all its statements begin with: its base, and all settings since. */
  domainLow: u64 = 0
  domainHigh: u64 = 0
  /** What the domain becomes if the settings under way succeed. */
  pendingLow: u64 = 0
  pendingHigh: u64 = 0
  renews: bool = false
  /** The key of the names of its statements. */
  namesLow: u64 = 0
  namesHigh: u64 = 0
  prepared: Prepared | null = null
  isPlaced: bool = false
  /** It was there before this instance. */
  isAlien: bool = false
  /** It has what no key tells. */
  isTainted: bool = false
  /** No ReadyForQuery has come: it may not even be let in. */
  isNew: bool = true
  /** As the server last told. */
  status: u8 = IDLE
  /** Its open transaction may have written these tables. */
  written: u64 = 0
  /** Writes of these tables are on their way to a commit. */
  committing: u64 = 0
  /** What has been written goes beyond the database. */
  reaches: bool = false
  /** ReadyForQuery that will come. */
  owed: i32 = 0
  /** True where the last that was sent ended with Sync. */
  isExtended: bool = false
  /** Messages were sent that no Sync stands behind. */
  isUnsynced: bool = false
  /** The client has an unnamed statement that the server never got. */
  isUnnamedStale: bool = false
  /** The server copies in: one Sync is not answered. */
  copies: bool = false
  head: Head = Head.Nothing
  hasFailed: bool = false
  recording: Recording | null = null

  constructor(readonly id: i32) {}

  /** Nothing is owed, and no transaction is open. */
  get isQuiet(): bool {
    return this.owed == 0 && this.status == IDLE && !this.isUnsynced
  }

  /** It is surely let in, and in no state that others are not in. */
  get isPlain(): bool {
    return !this.isNew && !this.isTainted && !this.isAlien
  }

  /** Begins anew for a client that logs in. */
  begin(): void {
    hash(secretLow, secretHigh, placeOf(++serial), 8)
    this.namesLow = low
    this.namesHigh = high
    this.database = NOWHERE
    this.isPlaced = false
    this.isAlien = false
    this.isTainted = false
    this.isNew = true
    this.status = IDLE
    this.written = 0
    this.committing = 0
    this.reaches = false
    this.owed = 0
    this.isExtended = false
    this.isUnsynced = false
    this.isUnnamedStale = false
    this.copies = false
    this.head = Head.Nothing
    this.hasFailed = false
    this.recording = null
  }

  /** The last of `chain` is what the login said. */
  introduce(): void {
    this.baseLow = low
    this.baseHigh = high
  }

  /** Takes the database and the place that it was connected to; before its first statement. */
  place(): void {
    this.isPlaced = true
    beginChain()
    const name = connectionFact('database')
    chain(name)
    this.database = databaseOf(low)
    chain(connectionFact('user'))
    chain(connectionFact('group'))
    chain(connectionFact('block'))
    hash(low ^ this.baseLow, high ^ this.baseHigh, placeOf(era()), 8)
    this.baseLow = low
    this.baseHigh = high
    this.domainLow = low
    this.domainHigh = high
  }

  statement(name: Slice): Prepared | null {
    return findPrepared(this.namesLow, this.namesHigh, name)
  }

  /** A place for a statement whose name was just not found. */
  addStatement(): Prepared | null {
    const statement = addPrepared()
    if (statement == null) return null
    statement.sibling = this.prepared
    this.prepared = statement
    return statement
  }

  dropStatement(statement: Prepared): void {
    if (this.prepared == statement) this.prepared = statement.sibling
    else {
      let at = this.prepared
      while (at != null && at.sibling != statement) at = at.sibling
      if (at != null) at.sibling = statement.sibling
    }
    dropPrepared(statement)
  }

  forgetStatements(): void {
    while (this.prepared != null) this.dropStatement(this.prepared!)
  }

  /** These tables are being written. `isBehind`: a transaction is surely open and goes on. */
  writes(tables: u64, isBehind: bool): void {
    this.written |= tables
    this.database.writes(tables)
    if (!isBehind) this.commits()
  }

  /** What has been written is on its way to a commit. */
  commits(): void {
    const all = this.committing | this.written
    if (all == this.committing) return
    if (this.committing != 0) this.database.endCommit(this.committing)
    this.database.beginCommit(all)
    this.committing = all
  }

  /** The server is ready again. */
  settle(status: u8): void {
    if (this.owed > 0) this.owed--
    // Something was sent that never came by here; but the first one ends the login.
    else if (!this.isNew) {
      if (!this.isPlaced) this.place()
      this.database.empty(ALL)
    }
    this.isNew = false
    this.status = status
    const written = this.committing | (status == IDLE ? this.written : 0)
    if (written != 0) {
      this.database.empty(written)
      if (this.reaches) emptyAll()
    }
    if (this.owed > 0) return
    if (this.committing != 0) this.database.endCommit(this.committing)
    this.committing = 0
    if (status != IDLE) return
    this.written = 0
    this.reaches = false
  }

  /** The client is gone. What it had under way may still be committed, or not. */
  end(): void {
    this.forgetStatements()
    const written = this.committing | this.written
    if (written != 0) this.database.empty(written)
    if (this.committing != 0) this.database.endCommit(this.committing)
    this.committing = 0
    this.written = 0
    if (this.recording != null) this.recording!.release()
    this.recording = null
  }
}

/** Until it is known where a connection goes. */
const NOWHERE = new Database()

let serial: u64 = 0
const numberAt = memory.data(8)

/** A number as bytes, good until the next one. */
function placeOf(value: u64): usize {
  store<u64>(numberAt, value)
  return numberAt
}

const connections = new StaticArray<Connection | null>(CONNECTIONS_MAX)
let spare: Connection | null = null
let made = 0

const SESSION_KEY = slice(memory.data<u8>([0x63]), 1)
const mark = memory.data(8)

/** The connection of the present call, or null where it is not known. */
export function current(): Connection | null {
  const kept = sessionGetAt(SESSION_KEY)
  if (lengthOf(kept) != 8 || load<u32>(ptrOf(kept)) != instance) return null
  return connections[load<i32>(ptrOf(kept), 4)]
}

/** A connection that logs in; null: there is no room. */
export function welcome(): Connection | null {
  let connection = spare
  if (connection != null) spare = connection.next
  else {
    if (made == CONNECTIONS_MAX) return null
    connection = new Connection(made)
    connections[made++] = connection
  }
  store<u32>(mark, instance)
  store<i32>(mark, connection.id, 4)
  if (!sessionSetAt(SESSION_KEY, slice(mark, 8))) {
    connection.next = spare
    spare = connection
    return null
  }
  connection.begin()
  return connection
}

/** A connection that was there before: nothing is known of what it has done. */
export function adopt(): Connection | null {
  const connection = welcome()
  if (connection == null) return null
  beginChain()
  connection.introduce()
  connection.place()
  connection.isAlien = true
  connection.isNew = false
  connection.status = IN_TRANSACTION
  connection.written = ALL
  return connection
}

/** The present connection has ended. */
export function leave(connection: Connection): void {
  connection.end()
  sessionSetAt(SESSION_KEY, NO_MARK)
  connection.next = spare
  spare = connection
}

const NO_MARK = slice(mark, 0)

/** Lets go of all connections, which are strangers from now on. */
export function abandonConnections(): void {
  spare = null
  for (let at = 0; at < made; at++) {
    const connection = connections[at]!
    connection.forgetStatements()
    if (connection.recording != null) connection.recording!.release()
    connection.recording = null
    connection.next = spare
    spare = connection
  }
}
