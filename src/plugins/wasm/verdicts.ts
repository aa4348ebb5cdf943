/** From the number a hook returned and its payload to the verdict that the hook may give. */
import {
  CONTINUE,
  type Deny,
  type Failure,
  type FromClientVerdict,
  type FromServerVerdict,
  type OpeningVerdict,
  type SettingsVerdict,
} from '../../hooks/verdict.ts'
import { parseObject } from './journal.ts'
import { REFUSAL_CHARS_MAX } from './limits.ts'
import { decodeText } from './memory.ts'

/** The verdicts' names by their numbers in the ABI. */
const NAMES = ['continue', 'replace', 'respond', 'deny', 'close', 'route'] as const
const REPLACE = 1
const RESPOND = 2
const DENY = 3
const CLOSE = 4
const ROUTE = 5

/** SQLSTATE of a refusal that names none: insufficient_privilege. */
const REFUSAL_CODE = '42501'
const SQLSTATE = /^[0-9A-Z]{5}$/
const BLOCK_NAME_CHARS_MAX = 256

/** A failure that speaks of what the hook returned. */
function failure(returned: number, what: string): Failure {
  const name = NAMES[returned]
  return { kind: 'failure', cause: `returned ${name ?? String(returned)}, ${what}` }
}

function unfit(returned: number): Failure {
  const known = NAMES[returned] !== undefined
  return failure(returned, known ? 'which this hook may not answer' : 'which is no verdict')
}

/** A text of a refusal: no NUL, which would end it early on the wire, and not without end. */
function refusalText(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined
  return value.replaceAll('\0', '').slice(0, REFUSAL_CHARS_MAX)
}

/**
 * A refusal from its JSON. The plugin said no, so a payload that cannot be read still refuses:
 * what is missing in it, or not as it must be, is said in general terms.
 */
export function readDeny(payload: Uint8Array | null, plugin: string): Deny {
  const fields = payload === null ? null : parseObject(decodeText(payload))
  const unread = payload !== null && fields === null
  const code = fields?.['code']
  const detail = refusalText(unread ? 'its reason could not be read' : fields?.['detail'])
  const hint = refusalText(fields?.['hint'])
  return {
    kind: 'deny',
    code: typeof code === 'string' && SQLSTATE.test(code) ? code : REFUSAL_CODE,
    message: refusalText(fields?.['message']) ?? `refused by plugin ${plugin}`,
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
  }
}

function readRoute(payload: Uint8Array | null): FromClientVerdict & OpeningVerdict {
  const block = payload === null ? '' : decodeText(payload)
  if (block === '') return failure(ROUTE, 'but no output that names the block')
  if (block.length > BLOCK_NAME_CHARS_MAX) return failure(ROUTE, 'with too long a name')
  return { kind: 'route', block }
}

/** The verdict of onTrafficFromClient. */
export function fromClientVerdict(
  returned: number,
  payload: Uint8Array | null,
  plugin: string,
): FromClientVerdict {
  switch (returned) {
    case RESPOND:
      if (payload === null) return failure(returned, 'but no output')
      return { kind: 'respond', bytes: payload }
    case ROUTE:
      return readRoute(payload)
    default:
      return fromServerVerdict(returned, payload, plugin)
  }
}

/** The verdict of onTrafficFromServer. */
export function fromServerVerdict(
  returned: number,
  payload: Uint8Array | null,
  plugin: string,
): FromServerVerdict {
  switch (returned) {
    case 0:
      return CONTINUE
    case REPLACE:
      if (payload === null) return failure(returned, 'but no output')
      return { kind: 'replace', bytes: payload }
    case DENY:
      return readDeny(payload, plugin)
    case CLOSE:
      return payload === null ? { kind: 'close' } : { kind: 'close', bytes: payload }
    default:
      return unfit(returned)
  }
}

/** The verdict of onOpening. */
export function openingVerdict(
  returned: number,
  payload: Uint8Array | null,
  plugin: string,
): OpeningVerdict {
  switch (returned) {
    case 0:
      return CONTINUE
    case DENY:
      return readDeny(payload, plugin)
    case CLOSE:
      return payload === null ? { kind: 'close' } : { kind: 'close', bytes: payload }
    case ROUTE:
      return readRoute(payload)
    default:
      return unfit(returned)
  }
}

/**
 * The verdict of onConfigLoaded and onRun: JSON with the keys to change, given with `replace`, or
 * with `continue`, for a PDK that outputs and returns says nothing else.
 */
export function settingsVerdict(returned: number, payload: Uint8Array | null): SettingsVerdict {
  if (returned !== 0 && returned !== REPLACE) return unfit(returned)
  if (payload === null || payload.length === 0) {
    return returned === 0 ? CONTINUE : failure(returned, 'but no output')
  }
  const changes = parseObject(decodeText(payload))
  return changes === null
    ? failure(returned, 'but its output is no JSON object of the keys to change')
    : { kind: 'merge', changes }
}
