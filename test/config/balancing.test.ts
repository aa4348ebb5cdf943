/** Rules that share out connections: what of them is refused, and what is without effect. */
import { expect, test } from 'bun:test'
import { checkBalancing } from '../../src/config/balancing.ts'
import { Draft, type WrittenMap } from '../../src/config/draft.ts'
import { Problems } from '../../src/config/problem.ts'

const share = (proxyName: string) => ({ proxyName, weight: '1' })

function checked(loadBalancer: WrittenMap) {
  const clients = { shop: { a: {}, b: {} } }
  const draft = new Draft('f', { clients, servers: { shop: { loadBalancer } } })
  const problems = new Problems()
  const notices = checkBalancing(draft, 'shop', problems)
  return { notices, messages: problems.any() ? problems.error().message : '' }
}

test('a rule may name each block of its group once, in any case', () => {
  const strategy = 'WEIGHTED_ROUND_ROBIN'
  const ruled = (...names: string[]) =>
    checked({ strategy, loadBalancingRules: [{ distribution: names.map(share) }] })
  expect(ruled('A', 'b')).toEqual({ notices: [], messages: '' })
  expect(ruled('a', 'A').messages).toContain('distribution[1].proxyName names "a" again')
  expect(ruled('c').messages).toContain('distribution[0].proxyName names no block of clients.shop')
})

test('rules that can have no effect are told', () => {
  const one = { distribution: [share('a')] }
  expect(checked({ loadBalancingRules: [one] }).notices).toHaveLength(1)
  const weighted = { strategy: 'weighted_round_robin', loadBalancingRules: [one, one] }
  expect(checked(weighted).notices).toEqual([
    'servers.shop.loadBalancer.loadBalancingRules: only the first rule has an effect, ' +
      'for its condition always holds',
  ])
  expect(checked({ strategy: 'RANDOM' }).notices).toEqual([])
})
