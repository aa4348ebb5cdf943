/** Asks a running gateway through its control socket, and finds out which one runs. */
import { GatewayError, sentenceOf } from '../base/errors.ts'
import type { RunEnvironment } from './private-folder.ts'
import { findInstances } from './run-folder.ts'

export interface AskOptions {
  readonly env: RunEnvironment
  /** The control socket to ask; left out: that of the newest gateway of this user. */
  readonly socket?: string | undefined
  readonly timeoutMs?: number
  /** POST for what changes something; left out: GET. */
  readonly method?: 'GET' | 'POST'
}

const TIMEOUT_MS = 3000
const ANSWER_BYTES_MAX = 16 * 1024 * 1024

/**
 * The answer to a question such as `/status`, not checked yet. Throws CONTROL_UNREACHABLE where
 * no gateway runs or it does not answer.
 */
export async function askControl(path: string, options: AskOptions): Promise<unknown> {
  const { socket } = options
  if (socket !== undefined) return ask(path, socket, options)
  const instances = findInstances(options.env)
  let lastError: unknown = null
  // A gateway that is only starting, or stuck, has no answer; an older one may.
  for (const instance of instances) {
    try {
      return await ask(path, instance.controlSocket, options)
    } catch (error) {
      lastError ??= error
    }
  }
  if (lastError !== null) throw lastError
  throw new GatewayError(
    'CONTROL_UNREACHABLE',
    'no gateway of this user runs on this machine; start one with `postern run`, or name the ' +
      'control socket of another with --socket PATH',
  )
}

async function ask(path: string, socket: string, options: AskOptions): Promise<unknown> {
  try {
    const answer = await fetch(`http://postern${path}`, {
      unix: socket,
      method: options.method ?? 'GET',
      signal: AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS),
      redirect: 'error',
      keepalive: false,
    })
    const text = await readText(answer)
    if (answer.status !== 200) throw new Error(`it answered ${answer.status} ${text.slice(0, 200)}`)
    const parsed: unknown = JSON.parse(text)
    return parsed
  } catch (cause) {
    throw new GatewayError(
      'CONTROL_UNREACHABLE',
      `the control socket ${socket} does not answer (${sentenceOf(cause)}); is the gateway ` +
        'running, and does it run as this user?',
    )
  }
}

async function readText(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of answer.body ?? []) {
    length += chunk.length
    if (length > ANSWER_BYTES_MAX) throw new Error(`its answer exceeds ${ANSWER_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
