/**
 * The control socket: what may be asked of a running gateway on its own machine. HTTP over a Unix
 * socket that only its user can open; what is answered is handed in.
 */
import { chmodSync } from 'node:fs'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { settlesIn } from '../base/settles.ts'
import type { PluginReport, ReloadReport, StatusReport, UpgradeReport } from './report.ts'

export interface ControlAnswers {
  status(): StatusReport | Promise<StatusReport>
  plugins(): readonly PluginReport[] | Promise<readonly PluginReport[]>
  /** Never rejects: what fails is in the report. */
  reload(): Promise<ReloadReport>
  /** Never rejects, as above. */
  upgrade(): Promise<UpgradeReport>
}

export interface ControlServer {
  /** Path of the socket. */
  readonly socket: string
  /** Idempotent; breaks off what is being asked. */
  stop(): Promise<void>
}

interface Question {
  /** POST for what changes something. */
  readonly method: 'GET' | 'POST'
  answer(): unknown
}

/** Nothing that may be asked carries a body worth mentioning. */
const REQUEST_BYTES_MAX = 4096
/** How long a stop waits for answers that are under way. */
const ANSWERED_WITHIN_MS = 500

/** Answers on the folder's socket from now on. Throws RUN_FOLDER where it cannot be made. */
export async function startControl(
  folder: { readonly controlSocket: string },
  answers: ControlAnswers,
): Promise<ControlServer> {
  const socket = folder.controlSocket
  const questions = new Map<string, Question>([
    ['/status', { method: 'GET', answer: () => answers.status() }],
    ['/plugins', { method: 'GET', answer: () => answers.plugins() }],
    ['/reload', { method: 'POST', answer: () => answers.reload() }],
    ['/upgrade', { method: 'POST', answer: () => answers.upgrade() }],
  ])
  const server = listen(socket, async (request, running) => {
    const question = questions.get(new URL(request.url).pathname)
    if (question === undefined) return failure(404, `ask for ${[...questions.keys()].join(', ')}`)
    const { method, answer } = question
    if (request.method !== method) {
      return failure(405, `only ${method} is understood here`, { allow: method })
    }
    // Plugins may take their time to start.
    if (method === 'POST') running.timeout(request, 0)
    return Response.json(await answer())
  })
  return {
    socket,
    stop: async () => {
      // What was answered just now is on its way yet.
      if (server.pendingRequests > 0) await settlesIn(ANSWERED_WITHIN_MS, server.stop())
      await server.stop(true)
    },
  }
}

type Answer = (request: Request, server: Bun.Server<undefined>) => Promise<Response>

function listen(socket: string, fetch: Answer) {
  try {
    const server = Bun.serve({
      unix: socket,
      fetch,
      maxRequestBodySize: REQUEST_BYTES_MAX,
      development: false,
      error: (thrown) => failure(500, sentenceOf(thrown)),
    })
    chmodSync(socket, 0o600)
    return server
  } catch (cause) {
    throw new GatewayError('RUN_FOLDER', `the control socket ${socket} cannot be made`, { cause })
  }
}

function failure(status: number, error: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error }, { status, headers })
}
