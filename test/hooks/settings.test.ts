import { describe, expect, test } from 'bun:test'
import { runSettings } from '../../src/hooks/settings.ts'
import type { OnFailure, SettingsStep } from '../../src/hooks/step.ts'
import type { SettingsVerdict } from '../../src/hooks/verdict.ts'

type Params = Readonly<Record<string, unknown>>

function stepOf(
  plugin: string,
  decide: (params: Params) => SettingsVerdict | Promise<SettingsVerdict>,
  onFailure: OnFailure = 'open',
): SettingsStep {
  return { plugin, priority: 1, onFailure, decide }
}

const merge = (changes: Params): SettingsVerdict => ({ kind: 'merge', changes })
const FAILURE: SettingsVerdict = { kind: 'failure', cause: 'it fell' }

async function run(...steps: readonly SettingsStep[]) {
  const failed: string[] = []
  const outcome = await runSettings(
    steps,
    { a: 1, b: 2 },
    { failed: (plugin) => failed.push(plugin) },
  )
  return { outcome, failed }
}

test('each step sees what the ones before it changed, and the later wins', async () => {
  const seen: Params[] = []
  const noting = (changes: Params) => (params: Params) => {
    seen.push(params)
    return merge(changes)
  }
  const { outcome } = await run(
    stepOf('one', noting({ b: 3, c: 4 })),
    stepOf('two', () => ({ kind: 'continue' })),
    stepOf('three', async (params) => noting({ c: 5 })(params)),
  )
  expect(seen).toEqual([
    { a: 1, b: 2 },
    { a: 1, b: 3, c: 4 },
  ])
  expect(outcome).toEqual({ kind: 'settled', changes: { b: 3, c: 5 } })
})

test('nothing changes without steps, or where they let all stand', async () => {
  expect((await run()).outcome).toEqual({ kind: 'settled', changes: {} })
  const { outcome } = await run(stepOf('one', () => ({ kind: 'continue' })))
  expect(outcome).toEqual({ kind: 'settled', changes: {} })
})

test('a step that fails is counted, and is passed over where it is open', async () => {
  const { outcome, failed } = await run(
    stepOf('one', () => FAILURE),
    stepOf('two', () => merge({ a: 9 })),
  )
  expect(outcome).toEqual({ kind: 'settled', changes: { a: 9 } })
  expect(failed).toEqual(['one'])
})

test('a step that fails closed refuses all, by name, and later ones are not asked', async () => {
  const { outcome, failed } = await run(
    stepOf('one', () => merge({ a: 9 })),
    stepOf('two', () => FAILURE, 'closed'),
    stepOf('three', () => {
      throw new Error('this step is not asked')
    }),
  )
  expect(outcome).toEqual({ kind: 'refused', plugin: 'two', cause: 'it fell' })
  expect(failed).toEqual(['two'])
})

test('behind a last one nobody is asked, and what it changed counts', async () => {
  const changes = { b: 3 }
  const { outcome } = await run(
    stepOf('one', () => ({ kind: 'merge', changes, isLast: true })),
    stepOf('two', () => merge({ b: 4 })),
  )
  expect(outcome).toEqual({ kind: 'settled', changes })
})

describe('changes that cannot be used', () => {
  const account = (failed: string[]) => ({
    failed: (plugin: string, cause: string) => failed.push(`${plugin}: ${cause}`),
    flaw: ({ b }: Params) => (b === 0 ? 'b must not be 0' : null),
  })
  const zero = (onFailure: OnFailure) => stepOf('zero', () => merge({ b: 0, c: 1 }), onFailure)

  test('are a failure of their step, and the next gets what that one got', async () => {
    const failed: string[] = []
    const seen: Params[] = []
    const noting = stepOf('noting', (params) => {
      seen.push(params)
      return merge({ d: 1 })
    })
    const steps = [stepOf('one', () => merge({ a: 2 })), zero('open'), noting]
    const outcome = await runSettings(steps, { a: 1, b: 2 }, account(failed))
    expect(outcome).toEqual({ kind: 'settled', changes: { a: 2, d: 1 } })
    expect(seen).toEqual([{ a: 2, b: 2 }])
    expect(failed).toEqual(['zero: b must not be 0'])
  })

  test('refuse the start where the step is closed to failure', async () => {
    const outcome = await runSettings([zero('closed')], {}, account([]))
    expect(outcome).toEqual({ kind: 'refused', plugin: 'zero', cause: 'b must not be 0' })
  })
})
