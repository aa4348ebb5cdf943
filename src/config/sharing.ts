/** Checks what no schema can of pools whose connections are shared by transactions. */
import { type Draft, isMap } from './draft.ts'
import { type Problems, shownPath } from './problem.ts'

const SHARED = 'transaction'

/** The gateway must log in by itself to share connections, and all blocks of a group alike. */
export function checkSharing(draft: Draft, problems: Problems): void {
  for (const group of draft.names('pools')) {
    const blocks = draft.names('pools', group)
    const shared = blocks.filter((block) => modeOf(draft, group, block) === SHARED)
    if (shared.length === 0) continue
    const isRaw = String(draft.at(['servers', group, 'protocol'])).toLowerCase() === 'raw'
    for (const block of blocks) {
      const path = ['pools', group, block, 'mode']
      const refuse = (why: string): void =>
        problems.add(draft.standing(path).value, path, `${shownPath(path)}: ${why}`)
      if (!shared.includes(block)) {
        refuse(`it must be ${SHARED} as that of pools.${group}.${shared[0]}; a group has one way`)
      } else if (isRaw) {
        refuse(`${SHARED} is for PostgreSQL, and servers.${group}.protocol is raw`)
      } else if (!isMap(draft.at(['clients', group, block, 'startupParams']))) {
        const cure = `set clients.${group}.${block}.startupParams, or use another mode`
        refuse(`${SHARED} needs connections that the gateway logs in to; ${cure}`)
      }
    }
  }
}

function modeOf(draft: Draft, group: string, block: string): string {
  return String(draft.at(['pools', group, block, 'mode'])).toLowerCase()
}
