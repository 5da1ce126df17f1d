// Runs a page's script in a browser that has only what the script may use. A JSON object on standard input says what is
// there before (`airy`, `storage`, `answer` of the backend, `dataset` of the script's tag); one on standard output, after.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import vm from 'node:vm'

const { script, airy, storage, answer, dataset } = JSON.parse(readFileSync(0, 'utf8'))
const kept = new Map(Object.entries(storage))
const steps = []
const window = airy ? { airy } : {}
const context = {
  window,
  document: {
    currentScript: { dataset },
    createElement: tag => ({ tag }),
    head: { appendChild: ({ tag, src }) => steps.push({ tag, src, storage: Object.fromEntries(kept), airy: window.airy }) },
  },
  localStorage: {
    getItem: name => kept.get(name) ?? null,
    setItem: (name, value) => kept.set(name, String(value)),
    removeItem: name => kept.delete(name),
  },
  fetch: async path => {
    if (path !== '/chat' || !answer) throw new TypeError('no connection')
    return { ok: answer.status === 200, status: answer.status, json: async () => answer.body }
  },
}
vm.runInNewContext(script, context)
await sleep(0)
await sleep(0)
console.log(JSON.stringify({ steps, storage: Object.fromEntries(kept) }))
