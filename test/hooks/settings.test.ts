import { expect, test } from 'bun:test'
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
