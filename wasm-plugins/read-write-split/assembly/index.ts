/** Sends what only reads to one block, and all else to another. README.md says the rest. */
import { addOwn } from '../../shared/assembly/functions'
import { Sessions, Tracked } from '../../shared/assembly/sessions'
import {
  Bind,
  Bytes,
  CONTINUE,
  Frontend,
  lengthOf,
  Manifest,
  Parse,
  Query,
  ReadyForQuery,
  routeTo,
  settingChoice,
  settingText,
  settingTexts,
  typeOf,
} from '../../sdk/assembly/sdk'
import { judge, Reason } from './judge'

export { postern_alloc } from '../../sdk/assembly/sdk'

const SESSIONS_MAX: i32 = 100_000
const IDLE: u8 = 0x49

const NAME = '{"type":"string","minLength":1,"maxLength":63,'
const SCHEMA =
  '{"type":"object","additionalProperties":false,"properties":{' +
  '"reads":' + NAME + '"default":"reads","description":"The block for what only reads"},' +
  '"writes":' + NAME + '"default":"writes","description":"The block for all else"},' +
  '"functions":{"type":"array",' +
  '"items":{"type":"string","minLength":1,"maxLength":63},' +
  '"description":"Functions of your own that change nothing, by name"},' +
  '"sessionState":{"enum":["stay","follow"],"default":"stay",' +
  '"description":"stay: who arranges something for its session stays where writes go; follow: ' +
  'a pool with mode: transaction sees to that"}}}'

const manifest = new Manifest('read-write-split', '1.0.0', 'Sends reads to standbys')
  .authors('The Postern Authors').license('Apache-2.0').tags('routing').config(SCHEMA)
const transactions = manifest.counter(
  'transactions_total', 'Transactions by the block that they were sent to', 'to',
)
const writing = manifest.counter(
  'writes_total', 'Those that were sent to the writes, by the reason', 'reason',
)
manifest.traffic('onTrafficFromClient', 'Query,Parse,Bind,FunctionCall')
  .traffic('onTrafficFromServer', 'ReadyForQuery').hook('onClosed')

export function describe(): i32 {
  return manifest.output()
}

/** What is known of a connection. */
class Caller extends Tracked {
  /** As the server told it last. */
  status: u8 = IDLE
  /** It has sent something, and the server is not ready again. */
  isBusy: bool = false
  /** It has arranged something for its session, and stays where that is. */
  stays: bool = false
}

const sessions = new Sessions<Caller>(SESSIONS_MAX)
const query = new Query()
const parse = new Parse()
const bind = new Bind()
const ready = new ReadyForQuery()

const REASONS: StaticArray<string> = [
  '', 'writes', 'function', 'locks', 'transaction', 'session',
]

let isConfigured: bool = false
let reads: string = ''
let writes: string = ''
let follows: bool = false

function configure(): void {
  isConfigured = true
  reads = settingText('reads', 'reads')
  writes = settingText('writes', 'writes')
  follows = settingChoice('sessionState', 'stay follow', 0) == 1
  addOwn(settingTexts('functions'))
}

function known(): Caller | null {
  const who = sessions.open()
  if (who == null || !sessions.isNew) return who
  who.status = IDLE
  who.isBusy = false
  who.stays = false
  return who
}

/** Why a message belongs to the writes. */
function reasonOf(ptr: usize, len: i32): Reason {
  switch (typeOf(ptr, len)) {
    case Frontend.QUERY:
      return query.read(ptr, len) ? judge(query.sql) : Reason.Writes
    case Frontend.PARSE:
      if (!parse.read(ptr, len)) return Reason.Writes
      // A statement that has a name lives where it was prepared.
      if (!follows && lengthOf(parse.name) > 0) return Reason.Session
      return judge(parse.sql)
    case Frontend.BIND:
      // What it binds was prepared before, and is not known any more.
      return bind.read(ptr, len) && lengthOf(bind.statement) > 0 && !follows
        ? Reason.Session
        : Reason.Writes
    default:
      return Reason.Writes
  }
}

/** Notes what a message arranges for its session; true where it may run anywhere. */
function isFree(who: Caller, reason: Reason): bool {
  if (reason == Reason.Session && !follows) who.stays = true
  return reason == Reason.Reads && !who.stays
}

export function on_traffic_from_client(ptr: usize, len: i32): i32 {
  if (!isConfigured) configure()
  const who = known()
  // One too many is left where it is.
  if (who == null) return CONTINUE
  // The Bind behind its own Parse goes where that went.
  if (who.isBusy && typeOf(ptr, len) == Frontend.BIND) return CONTINUE
  const reason = reasonOf(ptr, len)
  const free = isFree(who, reason)
  if (who.status != IDLE) return CONTINUE
  if (who.isBusy) return free ? CONTINUE : routeTo(writes)
  who.isBusy = true
  transactions.labelText(free ? 'reads' : 'writes').add()
  if (free) return routeTo(reads)
  writing.labelText(REASONS[reason == Reason.Reads ? Reason.Session : reason]).add()
  return routeTo(writes)
}

export function on_traffic_from_server(ptr: usize, len: i32): i32 {
  const who = sessions.find()
  if (who == null || !ready.read(ptr, len)) return CONTINUE
  who.status = ready.status
  who.isBusy = false
  return CONTINUE
}

export function on_closed(_ptr: usize, _len: i32): i32 {
  const who = sessions.find()
  if (who != null) sessions.close(who)
  return CONTINUE
}
