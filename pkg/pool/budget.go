package pool

import "sync/atomic"

// budget bounds retries in a group to a share of its requests, so that a Service in trouble is not sent twice its traffic. It is a
// purse: each request puts a fifth of a retry in, up to a hundred retries, and each retry takes one out. It starts full, so that a
// quiet Service has its retries as well.
type budget struct{ spent atomic.Int64 }

const (
	retryCost   = 5 // requests that pay for one retry
	budgetLimit = 100 * retryCost
)

// earn counts a request.
func (b *budget) earn() {
	if b.spent.Load() > 0 {
		b.spent.Add(-1)
	}
}

// spend takes a retry out, and reports false when there is none left.
func (b *budget) spend() bool {
	if b.spent.Add(retryCost) > budgetLimit {
		b.spent.Add(-retryCost)
		return false
	}
	return true
}

// Requested counts a request, which earns a share of a retry.
func (g *Group) Requested() { g.budget.earn() }

// MayRetry takes a retry from the group's budget, and reports false when it is spent.
func (g *Group) MayRetry() bool { return g.budget.spend() }
