/**
 * The message types of PostgreSQL's protocol 3, by name and first byte.
 * Source: PostgreSQL documentation, "Message Formats".
 */

/** Messages a client sends. StartupMessage has no first byte on the wire; 0 stands for it here. */
export const FRONTEND = {
  StartupMessage: 0,
  Bind: 0x42, // B
  Close: 0x43, // C
  CopyData: 0x64, // d
  CopyDone: 0x63, // c
  CopyFail: 0x66, // f
  Describe: 0x44, // D
  Execute: 0x45, // E
  Flush: 0x48, // H
  FunctionCall: 0x46, // F
  Parse: 0x50, // P
  PasswordMessage: 0x70, // p
  Query: 0x51, // Q
  Sync: 0x53, // S
  Terminate: 0x58, // X
} as const

/** Messages a server sends. */
export const BACKEND = {
  Authentication: 0x52, // R
  BackendKeyData: 0x4b, // K
  BindComplete: 0x32, // 2
  CloseComplete: 0x33, // 3
  CommandComplete: 0x43, // C
  CopyData: 0x64, // d
  CopyDone: 0x63, // c
  CopyInResponse: 0x47, // G
  CopyOutResponse: 0x48, // H
  CopyBothResponse: 0x57, // W
  DataRow: 0x44, // D
  EmptyQueryResponse: 0x49, // I
  ErrorResponse: 0x45, // E
  FunctionCallResponse: 0x56, // V
  NegotiateProtocolVersion: 0x76, // v
  NoData: 0x6e, // n
  NoticeResponse: 0x4e, // N
  NotificationResponse: 0x41, // A
  ParameterDescription: 0x74, // t
  ParameterStatus: 0x53, // S
  ParseComplete: 0x31, // 1
  PortalSuspended: 0x73, // s
  ReadyForQuery: 0x5a, // Z
  RowDescription: 0x54, // T
} as const

/** Other names of the same message types, as drivers and plugins use them. */
const FRONTEND_ALIASES = {
  SASLInitialResponse: FRONTEND.PasswordMessage,
  SASLResponse: FRONTEND.PasswordMessage,
  GSSResponse: FRONTEND.PasswordMessage,
}
const BACKEND_ALIASES = { AuthenticationOk: BACKEND.Authentication }

const frontendNames = new Map<string, number>(Object.entries({ ...FRONTEND, ...FRONTEND_ALIASES }))
const backendNames = new Map<string, number>(Object.entries({ ...BACKEND, ...BACKEND_ALIASES }))

/** The first byte of a client's message by its name. */
export function frontendTag(name: string): number | undefined {
  return frontendNames.get(name)
}

/** The first byte of a server's message by its name. */
export function backendTag(name: string): number | undefined {
  return backendNames.get(name)
}

function tableOf(tags: readonly number[]): Uint8Array {
  const table = new Uint8Array(256)
  for (const tag of tags) table[tag] = 1
  return table
}

/** 1 for each byte that may begin a typed message from a client. */
export const FRONTEND_TAGS = tableOf(Object.values(FRONTEND).filter((tag) => tag !== 0))
/** 1 for each byte that may begin a message from a server. */
export const BACKEND_TAGS = tableOf(Object.values(BACKEND))

/** Types that pass without meaning anything to a session: rows and copied data. */
export const FRONTEND_PLAIN = tableOf([FRONTEND.CopyData])
export const BACKEND_PLAIN = tableOf([BACKEND.DataRow, BACKEND.CopyData])
export const NOTHING_PLAIN = tableOf([])

/** The plain types that no step wants; made anew only where a step wants something. */
export function unwanted(plain: Uint8Array, wanted: Uint8Array | null): Uint8Array {
  return wanted === null ? plain : plain.map((is, tag) => (wanted[tag] === 1 ? 0 : is))
}

/** Why a header begins no message of these types, as a sentence. */
export function noMessage(tags: Uint8Array, tag: number, length: number): string {
  if (tags[tag] === 1) {
    return `a message of type '${String.fromCharCode(tag)}' declares an invalid length of ${length}`
  }
  const hex = tag.toString(16).padStart(2, '0')
  return `a message begins with the byte 0x${hex}, which is no message type`
}
