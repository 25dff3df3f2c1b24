/* The first process of every pod: holds the pod's namespaces and reaps what the pod leaves behind. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int number) {
    (void)number;
    _exit(0);
}

static void reap(int number) {
    int saved = errno;
    (void)number;
    while (waitpid(-1, 0, WNOHANG) > 0) {
    }
    errno = saved;
}

int main(void) {
    struct sigaction action = {0};
    action.sa_handler = leave;
    sigaction(SIGINT, &action, 0);
    sigaction(SIGTERM, &action, 0);
    action.sa_handler = reap;
    action.sa_flags = SA_NOCLDSTOP | SA_RESTART;
    sigaction(SIGCHLD, &action, 0);
    for (;;) {
        pause();
    }
}
