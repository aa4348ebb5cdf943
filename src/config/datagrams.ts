/** Checks what no schema can of UDP: a group has datagrams on both of its sides, or on none. */
import type { Draft } from './draft.ts'
import { type Problems, shownPath } from './problem.ts'
import type { Path } from './shape.ts'

/** True where a server or a block is written with the network udp. */
export function isUdp(draft: Draft, path: Path): boolean {
  return String(draft.at([...path, 'network'])).toLowerCase() === 'udp'
}

export function checkNetworks(draft: Draft, group: string, problems: Problems): void {
  const isServerUdp = isUdp(draft, ['servers', group])
  for (const block of draft.names('clients', group)) {
    const path = ['clients', group, block]
    const isBlockUdp = isUdp(draft, path)
    if (isBlockUdp !== isServerUdp) {
      const network = [...path, 'network']
      const must = isServerUdp ? 'must be udp' : 'must not be udp'
      const why = `because servers.${group}.network is ${isServerUdp ? 'udp' : 'not'}`
      problems.add(draft.standing(network).value, network, `${shownPath(network)} ${must}, ${why}`)
    }
    if (isServerUdp) checkPool(draft, ['pools', group, block], problems)
  }
}

/** Datagrams come without connections that could be shared. */
function checkPool(draft: Draft, path: Path, problems: Problems): void {
  const mode = draft.at([...path, 'mode'])
  if (String(mode).toLowerCase() === 'none') return
  const message = `${shownPath(path)} must be left out, or be mode: none, for the network udp`
  problems.add(draft.standing(path).key, path, message)
}
