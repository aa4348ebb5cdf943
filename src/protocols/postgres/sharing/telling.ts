/** What a server says that tells of the state of a session: parameters, commands done, errors. */
import { parameterOf } from '../login/server-words.ts'
import { lengthAt } from '../reader.ts'
import { BACKEND } from '../tags.ts'
import { nameIn, textEnd } from './heads.ts'

const HEADER_BYTES = 5
/** Longer tags of commands tell nothing that matters here. */
const COMMAND_BYTES_MAX = 20

/** 1 for each type of message that may tell something. */
export const TELLING = new Uint8Array(256)
TELLING[BACKEND.ParameterStatus] = 1
TELLING[BACKEND.CommandComplete] = 1
TELLING[BACKEND.ErrorResponse] = 1

/** The first letters of the commands that are looked at: most are others, such as SELECT. */
const COMMANDS = new Uint8Array(256)
for (const letter of 'DLP') COMMANDS[letter.charCodeAt(0)] = 1

/** Whom it is told. */
export interface Told {
  reported(name: string, value: string): void
  completed(tag: string): void
  failed(error: Uint8Array): void
}

/** Tells of the message at `at`, of which what is there is enough. */
export function tell(told: Told, bytes: Uint8Array, at: number): void {
  const from = at + HEADER_BYTES
  const to = Math.min(bytes.length, at + 1 + lengthAt(bytes, at))
  switch (bytes[at]) {
    case BACKEND.CommandComplete: {
      if (COMMANDS[bytes[from]!] === 0) return
      const end = textEnd(bytes, from, Math.min(to, from + COMMAND_BYTES_MAX))
      if (end >= 0) told.completed(nameIn(bytes, from, end))
      return
    }
    case BACKEND.ParameterStatus: {
      const parameter = parameterOf(bytes.subarray(from, to))
      if (parameter !== null) told.reported(parameter[0], parameter[1])
      return
    }
    default:
      told.failed(bytes.subarray(at, to))
  }
}
