/** Every error that Postern raises by itself has a code from this one table. */

/** What went wrong, in one word that logs, exit messages and tests share. */
export const ERROR_CODES = [
  'CONFIG_INVALID',
  'CONFIG_MISSING',
  'CONTROL_UNREACHABLE',
  'LISTEN_FAILED',
  'PLUGIN_CHECKSUM',
  'PLUGIN_CALL',
  'PLUGIN_DUPLICATE',
  'PLUGIN_EXITED',
  'PLUGIN_FILE',
  'PLUGIN_HANDSHAKE',
  'PLUGIN_MANIFEST',
  'PLUGIN_REQUIRED',
  'PLUGIN_REQUIREMENT',
  'PLUGIN_TIMEOUT',
  'PLUGIN_WASM',
  'RELOAD_REFUSED',
  'RUN_FOLDER',
  'UPGRADE_REFUSED',
  'UPSTREAM_UNREACHABLE',
  'USAGE',
  'WORKER',
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

/** An error with a code, a sentence that names the thing, the place and the cure, and its cause. */
export class GatewayError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'GatewayError'
    this.code = code
  }
}

/** The sentence of anything that was thrown, with the sentences of its causes behind it. */
export function sentenceOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  const cause = thrown.cause === undefined ? '' : `: ${sentenceOf(thrown.cause)}`
  return `${thrown.message}${cause}`
}
