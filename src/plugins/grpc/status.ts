/** How a gRPC call ended: the names of its statuses, and what stands for one where none came. */

const NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const
export type StatusName = (typeof NAMES)[number]

/** Why a call gave no result: the status, and words about it, the plugin's own or ours. */
export interface Refusal {
  readonly status: StatusName
  readonly words: string
}

const PERCENT = 0x25

/** The name that stands behind `grpc-status`; UNKNOWN for what is none. */
export function statusNamed(text: string): StatusName {
  return /^\d{1,2}$/.test(text) ? (NAMES[Number(text)] ?? 'UNKNOWN') : 'UNKNOWN'
}

/** The text of `grpc-message`; what is wrongly encoded stays as it came. */
export function messageText(encoded: string): string {
  const bytes = Buffer.from(encoded, 'latin1')
  if (!bytes.includes(PERCENT)) return bytes.toString()
  let length = 0
  for (let at = 0; at < bytes.length; at++) {
    const digits = bytes[at] === PERCENT ? bytes.toString('latin1', at + 1, at + 3) : ''
    const isEncoded = /^[0-9a-f]{2}$/i.test(digits)
    bytes[length++] = isEncoded ? Number.parseInt(digits, 16) : (bytes[at] ?? 0)
    if (isEncoded) at += 2
  }
  return bytes.toString('utf8', 0, length)
}

const BY_HTTP: Readonly<Record<string, StatusName>> = {
  400: 'INTERNAL',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'UNIMPLEMENTED',
  429: 'UNAVAILABLE',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'UNAVAILABLE',
}

/** What an answer means that has an HTTP status other than 200 and no gRPC status. */
export function refusalOfHttp(code: number): Refusal {
  return { status: BY_HTTP[code] ?? 'UNKNOWN', words: `the answer has HTTP status ${code}` }
}

interface ResetReason {
  readonly status: StatusName
  readonly name: string
}

const RESETS: readonly ResetReason[] = [
  { status: 'INTERNAL', name: 'NO_ERROR' },
  { status: 'INTERNAL', name: 'PROTOCOL_ERROR' },
  { status: 'INTERNAL', name: 'INTERNAL_ERROR' },
  { status: 'INTERNAL', name: 'FLOW_CONTROL_ERROR' },
  { status: 'INTERNAL', name: 'SETTINGS_TIMEOUT' },
  { status: 'INTERNAL', name: 'STREAM_CLOSED' },
  { status: 'INTERNAL', name: 'FRAME_SIZE_ERROR' },
  { status: 'UNAVAILABLE', name: 'REFUSED_STREAM' },
  { status: 'CANCELLED', name: 'CANCEL' },
  { status: 'INTERNAL', name: 'COMPRESSION_ERROR' },
  { status: 'INTERNAL', name: 'CONNECT_ERROR' },
  { status: 'RESOURCE_EXHAUSTED', name: 'ENHANCE_YOUR_CALM' },
  { status: 'PERMISSION_DENIED', name: 'INADEQUATE_SECURITY' },
  { status: 'INTERNAL', name: 'HTTP_1_1_REQUIRED' },
]

/** What a stream means that the plugin reset, by its HTTP/2 error code. */
export function refusalOfReset(code: number): Refusal {
  const { status, name } = RESETS[code] ?? { status: 'INTERNAL', name: `HTTP/2 error ${code}` }
  return { status, words: `the plugin reset the call (${name})` }
}
