/**
 * The audit plugin: who ran what, for how long, how many rows, and how it ended. What a client
 * sends is offered (onTrafficFromClient), and told when the server has answered it; what never gets
 * to the server (onTrafficToServer) something else has refused. README.md says the rest.
 */
import { NOTHING } from '../../shared/assembly/blobs'
import {
  firstIn,
  numberIn,
  ownedIn,
  secondIn,
  setOwned,
  setSince,
} from '../../shared/assembly/requests'
import { keyed } from '../../shared/assembly/secret'
import { Sessions } from '../../shared/assembly/sessions'
import { Table } from '../../shared/assembly/table'
import {
  Backend,
  Bind,
  CommandComplete,
  CONTINUE,
  ErrorResponse,
  Execute,
  Frontend,
  Messages,
  nowMs,
  Parse,
  Query,
  Slice,
} from '../../sdk/assembly/sdk'
import { blockOf, Client, giveBackBlock } from './client'
import { done, failed, offerOf, ready, refused, settle } from './endings'
import { closed, countedOnly, loginFailed, manifest, opened } from './lines'
import { Options } from './options'
import { writeParameters } from './parameters'
import { SCHEMA } from './schema'
import { EMPTY } from './summary'
import { quoting, readText, Said } from './texts'

export { postern_alloc } from '../../sdk/assembly/sdk'

const SESSIONS_MAX: i32 = 100_000
/** Prepared statements and portals, of all connections together, that are remembered. */
const PREPARED_MAX: i32 = 65_536
const PORTALS_MAX: i32 = 32_768

/** Describe and Flush mean nothing here: with them a pipeline comes in one piece. */
const REQUESTS = 'Query,Parse,Bind,Describe,Execute,Close,Flush,Sync'
/** What ends something. Rows and their columns never come here, so that nothing waits for them. */
const ANSWERS =
  'CommandComplete,EmptyQueryResponse,PortalSuspended,ErrorResponse,ReadyForQuery,ParseComplete,' +
  'BindComplete,CloseComplete,CopyInResponse,ParameterStatus'
manifest.authors('The Postern Authors').license('Apache-2.0').tags('audit').config(SCHEMA)
  .traffic('onTrafficFromClient', 'StartupMessage,' + REQUESTS, 'batch')
  .traffic('onTrafficToServer', REQUESTS + ',CopyDone,CopyFail', 'batch')
  .traffic('onTrafficFromServer', ANSWERS, 'batch')
  .hook('onOpened').hook('onClosed')

export function describe(): i32 {
  return manifest.output()
}

const sessions = new Sessions<Client>(SESSIONS_MAX)
const prepared = new Table(PREPARED_MAX, 8)
const portals = new Table(PORTALS_MAX, 8)
const messages = new Messages()
const query = new Query()
const parse = new Parse()
const bind = new Bind()
const execute = new Execute()
const complete = new CommandComplete()
const error = new ErrorResponse()

function client(): Client | null {
  Options.read()
  const known = sessions.open()
  if (known != null && sessions.isNew) known.reset(nowMs())
  return known
}

function keyOf(who: Client, kind: u64, name: Slice): u64 {
  return keyed(((<u64>who.slot) << 32) ^ who.serial ^ (kind << 60), name)
}

function idIn(table: Table, key: u64): i32 {
  const place = table.find(key)
  return place == 0 ? NOTHING : load<i32>(place)
}

function keepId(table: Table, key: u64, id: i32): void {
  const place = table.put(key)
  if (place != 0) store<i32>(place, id)
}

export function on_traffic_from_client(ptr: usize, len: i32): i32 {
  // Only a StartupMessage begins with a zero: its length has no type before it.
  if (len > 0 && load<u8>(ptr) == 0) {
    quoting.observe(ptr, len)
    return CONTINUE
  }
  const who = client()
  if (who == null) return CONTINUE
  refused(who)
  messages.open(ptr, len)
  while (messages.next()) offer(who)
  return CONTINUE
}

function offer(who: Client): void {
  const ptr = messages.ptr
  const length = messages.length
  switch (messages.type) {
    case Frontend.QUERY:
      if (query.read(ptr, length)) offerQuery(who)
      return
    case Frontend.PARSE: {
      if (!parse.read(ptr, length)) return
      readText(parse.sql)
      const id = Said.count > 0 ? Said.first : EMPTY
      keepId(prepared, keyOf(who, 1, parse.name), id)
      who.offers.sent(Frontend.PARSE, id)
      return
    }
    case Frontend.BIND: {
      if (!bind.read(ptr, length)) return
      const id = idIn(prepared, keyOf(who, 1, bind.statement))
      const portal = keyOf(who, 2, bind.portal)
      keepId(portals, portal, id)
      who.offers.sent(Frontend.BIND, id)
      if (Options.parameters) keepParameters(who, portal)
      return
    }
    case Frontend.EXECUTE:
      if (execute.read(ptr, length)) offerExecute(who, keyOf(who, 2, execute.portal))
  }
}

function keepParameters(who: Client, portal: u64): void {
  giveBackBlock(who.parameters)
  const written = writeParameters(bind)
  who.parameters = written.isCut ? 0 : blockOf(written.slice)
  who.parametersPortal = portal
}

function offerExecute(who: Client, portal: u64): void {
  const id = idIn(portals, portal)
  const entry = who.offers.sent(Frontend.EXECUTE, id, Options.isChosen() ? 1 : 0)
  if (entry == 0 || who.parameters == 0 || who.parametersPortal != portal) return
  setOwned(entry, who.parameters)
  who.parameters = 0
}

function offerQuery(who: Client): void {
  readText(query.sql)
  if (Said.more > 0) countedOnly(who, Said.more, Said.moreOf)
  const count = Said.count
  if (count == 0) return
  const chosen: u64 = Options.isChosen() ? 1 : 0
  const entry = who.offers.sent(Frontend.QUERY, 0, <u64>(<u32>Said.first), (chosen << 32) | count)
  if (entry != 0 && count > 1) setOwned(entry, blockOf(Said.list))
}

export function on_traffic_to_server(ptr: usize, len: i32): i32 {
  const who = client()
  if (who == null) return CONTINUE
  const now = nowMs()
  messages.open(ptr, len)
  while (messages.next()) sent(who, now)
  return CONTINUE
}

function sent(who: Client, now: f64): void {
  const type = messages.type
  switch (type) {
    case Frontend.QUERY:
    case Frontend.PARSE:
    case Frontend.BIND:
    case Frontend.EXECUTE:
      break
    case Frontend.DESCRIBE:
      // What answers it is not asked for.
      return
    default:
      who.sent(type)
      return
  }
  const offered = offerOf(who, type)
  if (offered == 0) {
    // Another plugin speaks here.
    who.sent(type, NOTHING)
    return
  }
  const entry = who.sent(type, numberIn(offered), firstIn(offered), secondIn(offered))
  if (entry == 0) giveBackBlock(ownedIn(offered))
  else {
    setSince(entry, now)
    setOwned(entry, ownedIn(offered))
  }
  who.offers.answered(offered)
}

export function on_traffic_from_server(ptr: usize, len: i32): i32 {
  const who = client()
  if (who == null) return CONTINUE
  messages.open(ptr, len)
  while (messages.next()) answer(who)
  return CONTINUE
}

function answer(who: Client): void {
  const ptr = messages.ptr
  const length = messages.length
  switch (messages.type) {
    case Backend.COMMAND_COMPLETE:
      who.endCopyIn()
      if (complete.read(ptr, length)) done(who, complete.rows)
      return
    case Backend.EMPTY_QUERY_RESPONSE:
    case Backend.PORTAL_SUSPENDED:
      return done(who, -1)
    case Backend.ERROR_RESPONSE:
      if (!error.read(ptr, length)) return
      if (who.isLoggedIn) failed(who, error)
      else loginFailed(who, error)
      return
    case Backend.READY_FOR_QUERY:
      if (!who.isLoggedIn) {
        who.isLoggedIn = true
        opened(who)
      }
      return ready(who)
    case Backend.PARSE_COMPLETE:
      return settle(who, Frontend.PARSE)
    case Backend.BIND_COMPLETE:
      return settle(who, Frontend.BIND)
    case Backend.CLOSE_COMPLETE:
      return settle(who, Frontend.CLOSE)
    case Backend.COPY_IN_RESPONSE:
      return who.beginCopyIn()
    case Backend.PARAMETER_STATUS:
      quoting.observe(ptr, length)
  }
}

export function on_opened(_ptr: usize, _len: i32): i32 {
  client()
  return CONTINUE
}

export function on_closed(_ptr: usize, _len: i32): i32 {
  const who = sessions.find()
  if (who == null) return CONTINUE
  refused(who)
  who.isClosing = true
  who.release()
  if (who.isLoggedIn) closed(who, nowMs() - who.openedMs)
  who.forget()
  sessions.close(who)
  return CONTINUE
}
