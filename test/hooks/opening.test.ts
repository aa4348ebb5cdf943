import { describe, expect, test } from 'bun:test'
import { openingChain } from '../../src/hooks/opening.ts'
import type { OnFailure, OpeningStep } from '../../src/hooks/step.ts'
import { CONTINUE, type OpeningVerdict } from '../../src/hooks/verdict.ts'
import { SESSION } from './rig.ts'

type Verdict = OpeningVerdict | Promise<OpeningVerdict>

function stepOf(decide: () => Verdict, onFailure: OnFailure = 'open'): OpeningStep {
  return { plugin: 'guard', priority: 1, onFailure, decide }
}

function open(...steps: readonly OpeningStep[]): { verdict: Verdict; failed: string[] } {
  const failed: string[] = []
  const chain = openingChain(steps, {
    failed: (plugin, cause) => failed.push(`${plugin}: ${cause}`),
  })
  return { verdict: chain!(SESSION), failed }
}

const DENY: OpeningVerdict = { kind: 'deny', code: '28000', message: 'not from there' }
const FAILURE: OpeningVerdict = { kind: 'failure', cause: 'it fell' }
const unasked = stepOf(() => {
  throw new Error('this step is not asked')
})

describe('onOpening', () => {
  test('without steps is no chain at all', () => {
    expect(openingChain([], { failed: () => {} })).toBeNull()
  })

  test('with steps that let pass lets pass, without a promise', () => {
    expect(
      open(
        stepOf(() => CONTINUE),
        stepOf(() => CONTINUE),
      ).verdict,
    ).toBe(CONTINUE)
  })

  for (const verdict of [DENY, { kind: 'route', block: 'reads' }, { kind: 'close' }] as const) {
    test(`ends with the first step that says ${verdict.kind}`, async () => {
      expect(
        open(
          stepOf(() => CONTINUE),
          stepOf(() => verdict),
          unasked,
        ).verdict,
      ).toBe(verdict)
      const late = open(
        stepOf(async () => CONTINUE),
        stepOf(async () => verdict),
        unasked,
      )
      expect(late.verdict).toBeInstanceOf(Promise)
      expect(await late.verdict).toBe(verdict)
    })
  }

  test('counts a step that fails, and goes on where it is open', async () => {
    for (const failing of [stepOf(() => FAILURE), stepOf(async () => FAILURE)]) {
      const { verdict, failed } = open(
        failing,
        stepOf(() => DENY),
      )
      expect(await verdict).toBe(DENY)
      expect(failed).toEqual(['guard: it fell'])
    }
  })

  test('refuses where a step that fails is closed', async () => {
    for (const failing of [
      stepOf(() => FAILURE, 'closed'),
      stepOf(async () => FAILURE, 'closed'),
    ]) {
      const { verdict, failed } = open(failing, unasked)
      expect(await verdict).toMatchObject({ kind: 'deny', code: '58000' })
      expect(failed).toEqual(['guard: it fell'])
    }
  })

  test('counts a route to a block that there is not as a failure of its step', () => {
    const routing = (onFailure: OnFailure) =>
      stepOf(() => ({ kind: 'route', block: 'moon' }), onFailure)
    const failed: string[] = []
    const account = {
      failed: (plugin: string, cause: string) => void failed.push(`${plugin}: ${cause}`),
      routeFlaw: (block: string) => (block === 'reads' ? null : `no block "${block}"`),
    }
    expect(openingChain([routing('open')], account)?.(SESSION)).toBe(CONTINUE)
    expect(openingChain([routing('closed')], account)?.(SESSION)).toMatchObject({ kind: 'deny' })
    expect(failed).toEqual(['guard: no block "moon"', 'guard: no block "moon"'])
    const sound = { kind: 'route', block: 'reads' } as const
    expect(openingChain([stepOf(() => sound)], account)?.(SESSION)).toBe(sound)
  })
})
