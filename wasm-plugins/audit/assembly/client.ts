/** What is known of a connection: who it is, what it has asked, and what became of it. */
import { NOTHING } from '../../shared/assembly/blobs'
import { Requests } from '../../shared/assembly/requests'
import { giveBack, roomFor, take } from '../../sdk/assembly/room'
import {
  clientAddress,
  connectionFact,
  Json,
  lengthOf,
  ptrOf,
  Slice,
  slice,
} from '../../sdk/assembly/sdk'
import { withoutAnswer } from './endings'

const json = new Json()

export class Client extends Requests {
  isLoggedIn: bool = false
  openedMs: f64 = 0
  statements: i32 = 0
  errors: i32 = 0
  /** What has come from the client and has not been sent to the server (yet). */
  readonly offers: Requests = new Requests()
  /** The parameters of the last Bind as JSON, and its portal; a block, or 0. */
  parameters: u64 = 0
  parametersPortal: u64 = 0
  /** The summary of what has failed before it was executed; NOTHING: none has. */
  failedEarly: i32 = NOTHING
  isClosing: bool = false
  /** Its names as fields of JSON. */
  private names: u64 = 0

  /** For another connection. */
  reset(nowMs: f64): void {
    this.isLoggedIn = false
    this.openedMs = nowMs
    this.statements = 0
    this.errors = 0
    this.failedEarly = NOTHING
    this.isClosing = false
    this.clear()
    this.offers.clear()
    this.forget()
  }

  gone(entry: usize): void {
    withoutAnswer(this, entry)
  }

  /** Gives up what it holds beside its requests. */
  forget(): void {
    giveBackBlock(this.parameters)
    giveBackBlock(this.names)
    this.parameters = 0
    this.names = 0
  }

  /** Its user, database and address as fields of JSON; asked for once it is logged in. */
  get identity(): Slice {
    if (this.names != 0) return this.names
    json.clear()
    writeFact('user')
    writeFact('database')
    const address = clientAddress()
    if (lengthOf(address) > 0) json.key('client').string(address)
    if (this.isLoggedIn && !json.bytes.isCut) this.names = blockOf(json.slice)
    return json.slice
  }
}

function writeFact(name: string): void {
  const value = connectionFact(name)
  if (lengthOf(value) > 0) json.key(name).string(value)
}

/** A block of its own with these bytes; 0: no memory. */
export function blockOf(run: Slice): u64 {
  const length = lengthOf(run)
  const place = length == 0 ? 0 : take(length)
  if (place == 0) return 0
  memory.copy(place, ptrOf(run), length)
  return slice(place, length)
}

export function giveBackBlock(block: u64): void {
  if (block != 0) giveBack(ptrOf(block), roomFor(lengthOf(block)))
}
