"""What a changed policy would have done: recorded decisions, judged again by risk's own core."""
