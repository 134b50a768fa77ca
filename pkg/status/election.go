package status

import (
	"context"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// elector takes part in one election. A Lease is renewed at two thirds of its time at the latest, and tried for every 2/15 of it.
func (w *Writer) elector() (*leaderelection.LeaderElector, error) {
	o := w.options
	return leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.ElectionID},
			Client:     o.Client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.Identity},
		},
		LeaseDuration:   o.Lease,
		RenewDeadline:   o.Lease * 2 / 3,
		RetryPeriod:     o.Lease * 2 / 15,
		ReleaseOnCancel: true,
		Name:            o.ElectionID,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: w.started,
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				w.log.Info("leader elected", zap.String("leader", identity), zap.String("lease", o.Namespace+"/"+o.ElectionID))
			},
		},
	})
}

// started hands over the context of one time of leading, which ends with it.
func (w *Writer) started(led context.Context) {
	select {
	case <-led.Done():
	case w.led <- led:
	}
}

// elect stands for election again and again, until ctx ends.
func (w *Writer) elect(ctx context.Context) {
	for ctx.Err() == nil {
		elector, err := w.elector()
		if err != nil {
			return // New has tried it
		}
		elector.Run(ctx)
		pause(ctx, time.Second)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
