import { expect, test } from 'bun:test'
import type { FromClientStep, SessionFacts } from '../../src/hooks/step.ts'
import { CONTINUE, type FromClientVerdict } from '../../src/hooks/verdict.ts'
import { showEnd, showRequest } from '../../src/tcp/edges.ts'

const FACTS = {} as SessionFacts

function step(
  plugin: string,
  decide: (bytes: Uint8Array) => FromClientVerdict | Promise<FromClientVerdict>,
): FromClientStep {
  return {
    plugin,
    priority: 1,
    onFailure: 'open',
    unit: 'batch',
    messages: null,
    needsRequest: false,
    seesEdges: true,
    decide: (_session, bytes) => decide(bytes),
  }
}

test('a request is shown to all, whatever they answer, and waited for', async () => {
  const seen: string[] = []
  const late = Promise.withResolvers<FromClientVerdict>()
  const note = (name: string) => (bytes: Uint8Array) => void seen.push(`${name} ${bytes.length}`)
  const steps = [
    step('first', (bytes) => {
      note('first')(bytes)
      return { kind: 'close' }
    }),
    step('second', (bytes) => {
      note('second')(bytes)
      return late.promise
    }),
  ]
  expect(showRequest([], FACTS, new Uint8Array(8))).toBeNull()
  const shown = showRequest(steps, FACTS, new Uint8Array(8))
  expect(seen).toEqual(['first 8', 'second 8'])
  late.resolve(CONTINUE)
  await shown
})

test('the end is shown as no bytes, and what is told after comes behind it', () => {
  const after: string[] = []
  const line = { after: (plugin: string) => after.push(plugin) }
  const seen: number[] = []
  const steps = [
    step('quick', (bytes) => {
      seen.push(bytes.length)
      return CONTINUE
    }),
    step('slow', async (bytes) => {
      seen.push(bytes.length)
      return CONTINUE
    }),
  ]
  showEnd(steps, FACTS, line as unknown as Parameters<typeof showEnd>[2])
  expect([seen, after]).toEqual([[0, 0], ['slow']])
})
