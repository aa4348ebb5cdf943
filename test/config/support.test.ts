/** The table of keys acted on speaks of keys that exist. */
import { expect, test } from 'bun:test'
import { pluginsSchema } from '../../src/config/plugin-schema.ts'
import { globalSchema } from '../../src/config/schema.ts'
import { isLeaf, isOptional, isSections, type Spot, spotAt } from '../../src/config/shape.ts'
import { ACTED_ON } from '../../src/config/support.ts'

/** The key that a pattern leads to, in either file; `x` stands for any name. */
function spotsOf(pattern: string): readonly Spot[] {
  const path = pattern.split('.').map((part) => (part === '*' ? 'x' : part))
  return [spotAt(globalSchema, path), spotAt(pluginsSchema, path)]
}

/** A key that has a value, or a section that is acted on, or not, as one. */
function isOne({ schema }: Spot): boolean {
  return schema !== undefined && (isLeaf(schema) || isOptional(schema) || isSections(schema))
}

test('every pattern leads to one key that has a value, or that counts as one', () => {
  for (const pattern of Object.keys(ACTED_ON)) {
    const found = spotsOf(pattern).filter(isOne)
    expect({ pattern, keys: found.length }).toEqual({ pattern, keys: 1 })
  }
})
