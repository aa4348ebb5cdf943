/** Follows what goes to the client: replies that are to be kept, and how what was sent ended. */
import { nowMs } from '../../sdk/assembly/host'
import { ParameterStatus } from '../../sdk/assembly/postgres/backend'
import { Backend, Messages } from '../../sdk/assembly/postgres/messages'
import { beginsWith, isText } from '../../sdk/assembly/slice'
import { Connection, Head, IDLE } from './connections'
import { counts, Reason } from './counts'
import { keep } from './entries'
import { hash, high, low } from './hash'

const messages = new Messages()
const parameter = new ParameterStatus()

let ttlMs: i32 = 1000
let resultBytesMax: i32 = 65_536

/** Takes how long results are kept, and how large they may be. */
export function keepFor(ttl: i32, bytes: i32): void {
  ttlMs = ttl
  resultBytesMax = bytes
}

/** Takes note of whole messages that have gone to the client. */
export function received(connection: Connection, ptr: usize, length: i32): void {
  messages.open(ptr, length)
  while (messages.next()) {
    const recording = connection.recording
    switch (messages.type) {
      case Backend.READY_FOR_QUERY: {
        const status = messages.length > 5 ? load<u8>(messages.ptr, 5) : 0
        if (connection.head != Head.Nothing) finish(connection, status)
        connection.settle(status)
        break
      }
      case Backend.ERROR_RESPONSE:
        connection.hasFailed = true
        if (recording != null) recording.spoil()
        break
      case Backend.COPY_IN_RESPONSE:
        // Behind the Execute of a COPY the server takes Sync for a part of what is copied.
        connection.copies = connection.isExtended && connection.owed > 0
        if (connection.owed > 1) connection.isTainted = true
        break
      case Backend.PARAMETER_STATUS:
        if (recording != null) recording.spoil()
        readParameter(connection)
        break
      default:
        if (recording != null) {
          recording.take(messages.type, messages.ptr, messages.length, resultBytesMax)
        }
    }
  }
}

/** The reply that was waited for has come to its end. */
function finish(connection: Connection, status: u8): void {
  if (connection.head == Head.Settings) finishSettings(connection, status)
  else finishRecording(connection, status)
  connection.head = Head.Nothing
}

function finishSettings(connection: Connection, status: u8): void {
  if (status != IDLE) connection.isTainted = true
  else if (!connection.hasFailed) {
    connection.domainLow = connection.pendingLow
    connection.domainHigh = connection.pendingHigh
    if (connection.renews) connection.isTainted = false
  }
}

function finishRecording(connection: Connection, status: u8): void {
  const recording = connection.recording
  connection.recording = null
  if (recording == null) return
  if (recording.isWhole && status == IDLE && !connection.isTainted) {
    const left = ttlMs - <i32>max<f64>(nowMs() - recording.sentAtMs, 0)
    // What has begun to write meanwhile may be in the result or not.
    if (left > 0 && connection.database.isUntouched(recording.at, recording.tables)) {
      keep(recording.low, recording.high, recording.at, recording.tables, recording.bytes, left)
    }
  } else if (!connection.hasFailed) counts.bypass(Reason.Result)
  recording.release()
}

/** A setting that the server tells of has another value. */
function readParameter(connection: Connection): void {
  if (!parameter.read(messages.ptr, messages.length)) return
  if (isText(parameter.name, 'application_name')) return
  if (isText(parameter.name, 'client_encoding') && isUnsafe()) connection.isTainted = true
  if (!connection.isPlaced) {
    hash(connection.baseLow, connection.baseHigh, messages.ptr, messages.length)
    connection.baseLow = low
    connection.baseHigh = high
  } else if (connection.head == Head.Settings) {
    hash(connection.pendingLow, connection.pendingHigh, messages.ptr, messages.length)
    connection.pendingLow = low
    connection.pendingHigh = high
  } else {
    hash(connection.domainLow, connection.domainHigh, messages.ptr, messages.length)
    connection.domainLow = low
    connection.domainHigh = high
  }
}

/** Encodings where a backslash may be the half of a letter: statements cannot be read for sure. */
function isUnsafe(): bool {
  const value = parameter.value
  return beginsWith(value, 'SJ') || beginsWith(value, 'SH') || beginsWith(value, 'BIG')
    || beginsWith(value, 'GB') || beginsWith(value, 'UHC') || beginsWith(value, 'JOH')
}
