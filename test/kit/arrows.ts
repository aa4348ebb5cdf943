/** Which folder of src may import which: the arrows of src/README.md, as a table. */

const LEAVES = ['hooks', 'upstream', 'protocols', 'metrics', 'config'] as const
const TRUNKS = ['tcp', 'plugins', 'policy', 'admin'] as const

/** What each part may import, beside itself. A part not named here may import nothing of ours. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  ...Object.fromEntries(LEAVES.map((leaf) => [leaf, ['base']])),
  ...Object.fromEntries(TRUNKS.map((trunk) => [trunk, ['base', ...LEAVES]])),
  catalog: ['base', ...LEAVES, 'plugins'],
  // Parts of the assembly, each with one concept: what they build stands in generation.ts.
  'plugin-counts': ['base', ...LEAVES, 'plugins'],
  lasting: ['base', ...LEAVES, ...TRUNKS, 'plugin-counts'],
  chains: ['base', ...LEAVES, ...TRUNKS],
  blocks: ['base', ...LEAVES, ...TRUNKS],
  generation: ['base', ...LEAVES, ...TRUNKS, 'chains', 'blocks', 'lasting'],
  generations: ['base', ...LEAVES, ...TRUNKS, 'lasting', 'generation'],
  readings: ['base', ...LEAVES, ...TRUNKS, 'lasting', 'generations'],
  scraping: ['base', ...LEAVES, ...TRUNKS],
  // Processes that serve: what they are and how they are spoken to, then both ends as a whole.
  workers: ['base', ...LEAVES, ...TRUNKS],
  supervision: ['base', ...LEAVES, ...TRUNKS, 'workers', 'generation'],
  worker: [
    ...['base', ...LEAVES, ...TRUNKS, 'workers'],
    ...['lasting', 'generation', 'generations', 'readings'],
  ],
  // Processes that take each other's place: both ends of the talk, then a gateway among them.
  upgrade: ['base', ...LEAVES, ...TRUNKS, 'workers'],
  succession: ['base', ...LEAVES, ...TRUNKS, 'generations', 'supervision', 'upgrade'],
  // Parts of the gateway's life.
  reloads: ['base', ...LEAVES, ...TRUNKS, 'readings'],
  tickers: ['base', ...LEAVES, 'generation'],
  ending: ['base', 'generation'],
  gateway: [
    ...['base', ...LEAVES, ...TRUNKS, 'supervision', 'scraping'],
    ...['upgrade', 'succession', 'reloads', 'tickers', 'ending'],
    ...['lasting', 'generation', 'generations', 'readings'],
  ],
  // Plugins tried alone, through the same chains and flows, without a gateway.
  trial: ['base', ...LEAVES, ...TRUNKS, 'chains'],
  cli: [
    'base',
    ...LEAVES,
    ...TRUNKS,
    'catalog',
    'generation',
    'gateway',
    'trial',
    'workers',
    'worker',
    'upgrade',
  ],
  main: ['base', 'cli'],
}

/** Why `from` may not import `to`, both paths from the root; null where it may. */
export function arrowFault(from: string, to: string): string | null {
  if (!from.startsWith('src/')) return null
  if (!to.startsWith('src/')) return 'src imports nothing of ours from outside src'
  const part = partOf(from)
  const wanted = partOf(to)
  if (part === wanted) return null
  const allowed = ARROWS[part]
  if (allowed === undefined) return `${part} has no place in the arrows: give it one`
  if (allowed.includes(wanted)) return null
  return `${part} may import ${allowed.join(', ') || 'nothing of ours'}, and not ${wanted}`
}

/** `src/tcp/pump.ts` is of tcp; `src/gateway.ts` of gateway. */
function partOf(path: string): string {
  return (path.split('/')[1] ?? '').replace(/\.ts$/, '')
}
