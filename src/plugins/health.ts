/** Asks the plugins that can be asked, again and again, whether they still answer. */
import type { Logger } from 'pino'
import { sentenceOf } from '../base/errors.ts'
import { type Clock, SYSTEM_CLOCK } from './clock.ts'
import type { Plugin } from './plugin.ts'

/** What is needed of a plugin to ask it. */
export type Patient = Pick<Plugin, 'name' | 'check'>

/** The longest wait for the answer to a ping. */
export const PING_MS_MAX = 1000

export interface HealthRequest {
  readonly plugins: () => readonly Patient[]
  readonly periodMs: number
  readonly log: Logger
  readonly clock?: Clock | undefined
}

/** Begins with a wait; stops with the function that is returned, and leaves no timer. */
export function watchHealth(request: HealthRequest): () => void {
  const clock = request.clock ?? SYSTEM_CLOCK
  const { periodMs, log, plugins } = request
  const pingMs = Math.min(PING_MS_MAX, periodMs)
  /** A plugin is not asked again before it answered, or its time was over. */
  const asked = new Set<Patient>()
  const ask = async (plugin: Patient): Promise<void> => {
    if (plugin.check === undefined || asked.has(plugin)) return
    asked.add(plugin)
    try {
      await plugin.check(pingMs)
    } catch (cause) {
      log.error({ plugin: plugin.name }, `could not be pinged: ${sentenceOf(cause)}`)
    } finally {
      asked.delete(plugin)
    }
  }
  let cancel = (): void => undefined
  const wait = (): void => {
    cancel = clock.after(periodMs, () => {
      // None of these rejects, and none waits for another.
      for (const plugin of plugins()) ask(plugin).catch(() => undefined)
      wait()
    })
  }
  wait()
  return () => cancel()
}
