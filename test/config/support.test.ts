/** The table of keys acted on speaks of keys that exist. */
import { expect, test } from 'bun:test'
import { pluginsSchema } from '../../src/config/plugin-schema.ts'
import { globalSchema } from '../../src/config/schema.ts'
import { isLeaf, isOptional, type Spot, spotAt } from '../../src/config/shape.ts'
import { ACTED_ON, REFUSED } from '../../src/config/support.ts'

/** The key that a pattern leads to, in either file; `x` stands for any name. */
function spotsOf(pattern: string): readonly Spot[] {
  const path = pattern.split('.').map((part) => (part === '*' ? 'x' : part))
  return [spotAt(globalSchema, path), spotAt(pluginsSchema, path)]
}

test('every pattern leads to one key that has a value, or a section that may be left out', () => {
  for (const pattern of [...Object.keys(ACTED_ON), ...Object.keys(REFUSED)]) {
    const found = spotsOf(pattern).filter(
      ({ schema }) => schema !== undefined && (isLeaf(schema) || isOptional(schema)),
    )
    expect({ pattern, keys: found.length }).toEqual({ pattern, keys: 1 })
  }
})

test('no key is both acted on and refused', () => {
  expect(Object.keys(REFUSED).filter((pattern) => pattern in ACTED_ON)).toEqual([])
})
