/** The firewall plugin in its sandbox, with a configuration of a test's own. */
import { z } from 'zod'
import type { SessionFacts } from '../../../src/hooks/step.ts'
import { DEFAULT_LIMITS } from '../../../src/plugins/limits.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import {
  carried,
  makeScene,
  makeSession,
  makeSpec,
  message,
  modulePath,
  query,
  type Scene,
} from '../../fixtures/wasm/kit.ts'

const REFUSAL = z.object({
  kind: z.literal('deny'),
  code: z.string(),
  message: z.string(),
  detail: z.string().optional(),
  hint: z.string().optional(),
})

export interface Firewall {
  readonly scene: Scene
  /** `pass`, or the SQLSTATE and the rule: `42501 no-drops`. */
  send(bytes: Uint8Array, session?: SessionFacts): string
  /** The same for a Query. */
  query(sql: string, session?: SessionFacts): string
  /** The same for the extended protocol. */
  parse(sql: string, name?: string): string
  /** The whole refusal. */
  refusal(bytes: Uint8Array): z.infer<typeof REFUSAL>
  /** A ParameterStatus of the server. */
  status(name: string, value: string, session: SessionFacts): void
  /** Names of the findings that refused nothing, in order. */
  observed(): readonly string[]
  /** Fields of the lines with this message. */
  lines(text: string): readonly Readonly<Record<string, unknown>>[]
}

/** Starts the plugin, with more time than it needs: the machine may be busy. */
export async function startFirewall(config: Record<string, unknown> = {}): Promise<Firewall> {
  const scene = makeScene()
  const limits = { ...DEFAULT_LIMITS, callDeadlineMs: 10_000, cpuShareMax: 100 }
  const spec = makeSpec(modulePath('firewall'), { config, limits, onFailure: 'closed' })
  const plugin = createWasmPlugin(spec, scene.surroundings)
  await plugin.start()
  const decide = (bytes: Uint8Array, session: SessionFacts) => {
    const verdict = plugin.steps.onTrafficFromClient?.decide(session, bytes, carried())
    if (verdict === undefined || verdict instanceof Promise) throw new Error('no verdict at once')
    return verdict
  }
  const send = (bytes: Uint8Array, session = makeSession()): string => {
    const verdict = decide(bytes, session)
    if (verdict.kind === 'continue') return 'pass'
    const { code, message: text } = REFUSAL.parse(verdict)
    return `${code} ${/rule "([^"]*)"/.exec(text)?.[1]}`
  }
  return {
    scene,
    send,
    query: (sql, session) => send(query(sql), session),
    parse: (sql, name = '') => send(message('P', `${name}\0${sql}\0\0\0`)),
    refusal: (bytes) => REFUSAL.parse(decide(bytes, makeSession())),
    status: (name, value, session) => {
      const bytes = message('S', `${name}\0${value}\0`)
      plugin.steps.onTrafficFromServer?.decide(session, bytes, carried())
    },
    observed: () =>
      scene.recorded.filter(({ id }) => id === OBSERVED).map(({ labels }) => labels[0] ?? ''),
    lines: (text) =>
      scene.lines
        .filter(({ msg }) => msg === text)
        .map(({ fields }) => z.record(z.string(), z.unknown()).parse(fields)),
  }
}

/** Positions of the metrics in the manifest. */
export const [SEEN, DENIED, OBSERVED, LEARNED, DROPPED] = [0, 1, 2, 3, 4] as const
