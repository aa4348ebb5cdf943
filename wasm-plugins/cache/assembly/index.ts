/**
 * The cache plugin: answers reading statements from memory until something is written. Looking up
 * happens where statements come from clients; what has gone on to the server, and what has gone to
 * the client in the end, is followed where it was sent, behind all other plugins.
 */
import { CONTINUE, postern_alloc as alloc, RESPOND } from '../../sdk/assembly/host'
import { Bind, StartupMessage } from '../../sdk/assembly/postgres/frontend'
import { Frontend, Messages } from '../../sdk/assembly/postgres/messages'
import { Target } from '../../sdk/assembly/postgres/frontend'
import { isText, lengthOf, ptrOf, slice, Slice } from '../../sdk/assembly/slice'
import { settingFlag, settingInteger, settingTexts } from '../../sdk/assembly/settings'
import { deny } from '../../sdk/assembly/verdicts'
import { abandonConnections, adopt, Connection, current, leave, welcome } from './connections'
import { counts, manifest } from './counts'
import { abandonDatabases, emptyAll } from './databases'
import { answer, openEntries } from './entries'
import { addOwn } from '../../shared/assembly/functions'
import { beginChain, chain, drawSecret, high, instance, low } from './hash'
import { judgeByTable, KEEPS } from './judge'
import { Prepared } from './prepared'
import { keepFor, received } from './received'
import { hashUnit, sent, UNIT_BYTES_MAX } from './sent'

const FROM_CLIENT =
  'StartupMessage,Query,Parse,Bind,Describe,Execute,Close,Sync,Flush,FunctionCall'
const TO_CLIENT =
  'ParseComplete,BindComplete,RowDescription,NoData,DataRow,CommandComplete,EmptyQueryResponse,' +
  'PortalSuspended,CopyInResponse,ErrorResponse,NoticeResponse,NotificationResponse,' +
  'ParameterStatus,ReadyForQuery'

manifest
  .authors('The Postern Authors')
  .license('Apache-2.0')
  .tags('cache')
  // Results that a write elsewhere has made stale must not come from another process.
  .localStore()
  .traffic('onTrafficFromClient', FROM_CLIENT, 'batch')
  .traffic('onTrafficToServer', FROM_CLIENT, 'batch')
  .traffic('onTrafficToClient', TO_CLIENT, 'batch')
  .hook('onClosed')
  .hook('onTick')
  .config(`{"type":"object","additionalProperties":false,"properties":{
"ttlMs":{"type":"integer","minimum":1,"maximum":3600000,"default":1000,
"description":"How old a result may be, in milliseconds"},
"resultBytesMax":{"type":"integer","minimum":1,"maximum":1048576,"default":65536,
"description":"Larger results are not kept"},
"entriesMax":{"type":"integer","minimum":1,"maximum":90000,"default":10000,
"description":"Results kept at the same time"},
"bytesMax":{"type":"integer","minimum":1024,"maximum":1073741824,"default":12582912,
"description":"Bytes of all of them; the kvBytesMax of the entry must be larger"},
"byTable":{"type":"boolean","default":false,
"description":"A write makes only results of the tables that it names stale"},
"functions":{"type":"array","items":{"type":"string"},"default":[],
"description":"Own functions that only read, and tell what depends on tables and arguments alone"}
}}`)

let isOpen: bool = false
/** A call got no memory: what it was about is not known. */
let hasMissed: bool = false

const startup = new StartupMessage()
const messages = new Messages()
const bind = new Bind()
const target = new Target()

export function describe(): i32 {
  return manifest.output()
}

export function postern_alloc(length: i32): usize {
  const place = alloc(length)
  if (place == 0) hasMissed = true
  return place
}

function configure(): void {
  isOpen = true
  drawSecret()
  keepFor(<i32>settingInteger('ttlMs', 1000), <i32>settingInteger('resultBytesMax', 65_536))
  openEntries(<i32>settingInteger('entriesMax', 10_000), settingInteger('bytesMax', 12_582_912))
  judgeByTable(settingFlag('byTable'))
  addOwn(settingTexts('functions'))
}

/** Begins a call. */
function begin(): void {
  if (!isOpen) configure()
  if (!hasMissed) return
  hasMissed = false
  abandonConnections()
  abandonDatabases()
  drawSecret()
}

export function on_traffic_from_client(ptr: usize, length: i32): i32 {
  begin()
  if (length < 5) return CONTINUE
  const connection = current()
  const type = load<u8>(ptr)
  if (type == 0) return greet(connection, ptr, length)
  if (connection == null) return CONTINUE
  if (connection.isQuiet && connection.isPlain && length <= UNIT_BYTES_MAX) {
    if (!connection.isPlaced) connection.place()
    if (isKnown(connection, type, ptr, length)) {
      if (answer(connection.database, low, high)) {
        if (type == Frontend.PARSE) connection.isUnnamedStale = true
        counts.hit()
        return RESPOND
      }
    }
  }
  return connection.isUnnamedStale ? askForUnnamed(ptr, length) : CONTINUE
}

/** A client introduces itself: all that it says is part of the key, but what it is called. */
function greet(connection: Connection | null, ptr: usize, length: i32): i32 {
  if (!startup.read(ptr, length) || !startup.isStartup) return CONTINUE
  if (connection != null) leave(connection)
  const newcomer = welcome()
  if (newcomer == null) return CONTINUE
  beginChain()
  while (startup.next()) {
    if (isText(startup.name, 'application_name')) continue
    const from = ptrOf(startup.name)
    chain(slice(from, <i32>(ptrOf(startup.value) - from) + lengthOf(startup.value)))
  }
  newcomer.introduce()
  return CONTINUE
}

/** Makes the key of a unit that begins as those do that are kept; false: it is none. */
function isKnown(connection: Connection, type: u8, ptr: usize, length: i32): bool {
  let statement: Prepared | null = null
  switch (type) {
    case Frontend.QUERY:
      break
    case Frontend.PARSE:
      // A name: the server must have it.
      if (length < 6 || load<u8>(ptr, 5) != 0) return false
      break
    case Frontend.BIND:
      if (length < 7 || load<u8>(ptr, 5) != 0 || load<u8>(ptr, 6) == 0) return false
      statement = connection.statement(cString(ptr + 6, ptr + length))
      if (statement == null || (statement.flags & KEEPS) == 0) return false
      break
    default:
      return false
  }
  hashUnit(connection, statement, ptr, length)
  return true
}

function cString(from: usize, end: usize): Slice {
  let at = from
  while (at < end && load<u8>(at) != 0) at++
  return slice(from, <i32>(at - from))
}

/** The server has another unnamed statement than the client, or none: it must not be run. */
function askForUnnamed(ptr: usize, length: i32): i32 {
  messages.open(ptr, length)
  while (messages.next()) {
    switch (messages.type) {
      case Frontend.PARSE:
        if (load<u8>(messages.ptr, 5) == 0) return CONTINUE
        break
      case Frontend.BIND:
        if (bind.read(messages.ptr, messages.length) && lengthOf(bind.statement) == 0) {
          return refuse()
        }
        break
      case Frontend.DESCRIBE:
        if (!target.read(Frontend.DESCRIBE, messages.ptr, messages.length)) break
        if (target.isStatement && lengthOf(target.name) == 0) return refuse()
        break
      default:
    }
  }
  return CONTINUE
}

function refuse(): i32 {
  return deny(
    '26000',
    'unnamed prepared statement does not exist',
    'It was answered from memory, and the server has not seen it.',
    'Send Parse before each Bind of the unnamed statement, or give it a name.',
  )
}

export function on_traffic_to_server(ptr: usize, length: i32): i32 {
  begin()
  if (length > 0 && load<u8>(ptr) == 0) return CONTINUE
  const connection = known()
  if (connection == null) emptyAll()
  else sent(connection, ptr, length)
  counts.event()
  return CONTINUE
}

export function on_traffic_to_client(ptr: usize, length: i32): i32 {
  begin()
  const connection = known()
  if (connection == null) emptyAll()
  else received(connection, ptr, length)
  return CONTINUE
}

/** The present connection, if need be as a stranger; null: there is no room for it. */
function known(): Connection | null {
  const connection = current()
  return connection == null ? adopt() : connection
}

export function on_closed(_ptr: usize, _length: i32): i32 {
  begin()
  const connection = current()
  if (connection != null) leave(connection)
  counts.tell()
  return CONTINUE
}

export function on_tick(_ptr: usize, _length: i32): i32 {
  begin()
  counts.tell()
  return CONTINUE
}
